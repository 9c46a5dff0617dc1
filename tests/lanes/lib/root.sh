# Builds the lane's root directory and pivots into it.  Sourced inside the lane's private namespaces, after
# common.sh and cgroups.sh.  The root is a small tmpfs: /usr is the tree's own, read-only and at native speed;
# /etc and /var are overlays whose upper side is that tmpfs, so nothing a run writes outlives it, and lanes can
# run side by side.

# lane_devices DIR: a small /dev of the lane's own. The nodes are new ones: a runtime or a login that changes the owner of
# its /dev/null must not change the machine's.
lane_devices() {
    local dev=$1 name
    mkdir -p "$dev"
    mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$dev"
    for name in null zero full random urandom tty fuse net/tun loop-control loop{0..7}; do
        [ -e "/dev/$name" ] || continue
        mkdir -p "$(dirname "$dev/$name")"
        cp -a "/dev/$name" "$dev/$name"
    done
    mkdir "$dev/pts" "$dev/shm" "$dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$dev/shm"
    mount -t mqueue mqueue "$dev/mqueue"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
    cp -a /dev/null "$dev/console"
}

# lane_cgroups DIR host|v2: the hierarchies as this cgroup namespace sees them, at the machine's places or, for
# "v2", the one of version 2 alone at /sys/fs/cgroup.
lane_cgroups() {
    local dir=$1 point type options place link hierarchies
    hierarchies=$(cgroup_hierarchies)
    if [ "$2" = v2 ] || [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -t cgroup2 cgroup2 "$dir"
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs "$dir"
    while read -r point type options; do
        place=$dir${point#/sys/fs/cgroup}
        mkdir -p "$place"
        mount -t "$type" ${options:+-o "$options"} "$type" "$place"
    done <<<"$hierarchies"
    for link in /sys/fs/cgroup/*; do
        if [ -L "$link" ]; then cp -P "$link" "$dir/"; fi
    done
    mount -o remount,ro "$dir"
}

# lane_bind_at_same_path ROOT PATH ro|rw
lane_bind_at_same_path() {
    if [ -d "$2" ]; then mkdir -p "$1$2"; else mkdir -p "$(dirname "$1$2")"; : >>"$1$2"; fi
    mount --bind "$2" "$1$2"
    if [ "$3" = ro ]; then mount -o remount,bind,ro "$1$2"; fi
}

# lane_root: everything together; reads LANE_TREE LANE_PYOCI LANE_RESULTS LANE_READ_ONLY LANE_CGROUPS
# LANE_RUN PROJECT.
lane_root() {
    local root=$CACHE/root link dir path
    mount -t tmpfs -o mode=755 tmpfs "$root"
    mkdir -p "$root"/{usr,etc,var,proc,sys,run,tmp,root,home,srv,mnt,media,boot,opt/pyoci,results,.lane/{etc,var,project}-{upper,work}}
    chmod 1777 "$root/tmp"
    chmod 700 "$root/root"
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
    mount --bind "$LANE_TREE/usr" "$root/usr"
    mount -o remount,bind,ro "$root/usr"
    for dir in etc var; do
        mount -t overlay -o "lowerdir=$LANE_TREE/$dir,upperdir=$root/.lane/$dir-upper,workdir=$root/.lane/$dir-work" \
            "$dir" "$root/$dir"
    done
    if [ -d "$LANE_TREE/home" ]; then cp -a "$LANE_TREE/home/." "$root/home/"; fi
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
    lane_cgroups "$root/sys/fs/cgroup" "$LANE_CGROUPS"
    lane_devices "$root/dev"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    for dir in tmp var/tmp var/lib/containers var/lib/containerd var/lib/docker; do
        mkdir -p "$root/$dir"
        mount -t tmpfs tmpfs "$root/$dir"
    done
    chmod 1777 "$root/tmp" "$root/var/tmp"
    # The tests build into the project's folder (.cache, generated modules): they may, and it is forgotten.
    mkdir -p "$root$PROJECT"
    mount -t overlay -o "lowerdir=$PROJECT,upperdir=$root/.lane/project-upper,workdir=$root/.lane/project-work" \
        project "$root$PROJECT"
    while IFS= read -r path; do
        if [ -n "$path" ]; then lane_bind_at_same_path "$root" "$path" ro; fi
    done <<<"$LANE_READ_ONLY"
    if [ -n "$LANE_PYOCI" ]; then
        mount --bind "$LANE_PYOCI" "$root/opt/pyoci"
        mount -o remount,bind,ro "$root/opt/pyoci"
        mkdir -p "$root$PROJECT/.venv" # this machine's is for this machine's Python
        mount --rbind "$root/opt/pyoci" "$root$PROJECT/.venv"
    fi
    mount --bind "$LANE_RESULTS" "$root/results"
    if [ -n "${LANE_RUN:-}" ]; then
        mkdir "$root/run/lane"
        mount --bind "$LANE_RUN" "$root/run/lane"
    fi
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    mkdir "$root/.lane/old"
    cd "$root"
    pivot_root . .lane/old
    umount -l /.lane/old
    rmdir /.lane/old
}
