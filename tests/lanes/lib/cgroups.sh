# The lane's own cgroup in every hierarchy of this machine, and its removal.  Sourced after common.sh.
#
# The lane's processes live in a cgroup namespace whose root is that cgroup.  So whatever the command makes
# (also engines, which leave their parents behind) lies below it, is never mixed with another lane's or the
# machine's own, and can be removed without a guess.

# cgroup_hierarchies: one line for each hierarchy mounted on this machine: "MOUNT_POINT TYPE OPTIONS", where
# OPTIONS are those that select the hierarchy ("cpu,cpuacct", "name=systemd", "" for version 2).
cgroup_hierarchies() {
    awk '
        { for (i = 7; $i != "-"; i++) {} ; type = $(i + 1) }
        type == "cgroup2" && !seen[$3]++ { print $5, "cgroup2", "" }
        type == "cgroup" && !seen[$3]++ {
            n = split($(i + 3), words, ","); wanted = ""
            for (j = 1; j <= n; j++)
                if (words[j] !~ /^(rw|ro|xattr|clone_children|noprefix|release_agent=.*|cpuset_v2_mode|favordynmods)$/)
                    wanted = wanted (wanted == "" ? "" : ",") words[j]
            print $5, "cgroup", wanted
        }' /proc/self/mountinfo
}

# cgroup_below DIR: DIR and the directories below it, deepest first.
cgroup_below() { find "$1" -depth -type d 2>/dev/null || true; }

# remove_lane_cgroups NAME: kills what is left in the lane's cgroups and removes them, deepest first.
remove_lane_cgroups() {
    local point type options dir sub pid try
    while read -r point type options; do
        dir=$point/$1
        [ -d "$dir" ] || continue
        for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            if [ "$type" = cgroup2 ]; then
                echo 1 >"$dir/cgroup.kill" 2>/dev/null || true
            else
                for sub in $(cgroup_below "$dir"); do
                    if [ -e "$sub/freezer.state" ]; then echo THAWED >"$sub/freezer.state" 2>/dev/null || true; fi
                    while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$sub/cgroup.procs" || true
                done
            fi
            for sub in $(cgroup_below "$dir"); do rmdir "$sub" 2>/dev/null || true; done
            [ -d "$dir" ] || break
            sleep 0.05 # dying processes leave a moment after the signal; the whole wait is bounded to 1 s
        done
        if [ -d "$dir" ]; then say "cgroup $dir could not be removed"; fi
    done <<<"$(cgroup_hierarchies)"
}

# remove_stale_lane_cgroups: those of lanes that were killed (their number is no longer a process).
remove_stale_lane_cgroups() {
    local point type options dir name
    while read -r point type options; do
        for dir in "$point"/pyoci-lane.*; do
            name=${dir##*/}
            if [ -d "$dir" ] && [ ! -e "/proc/${name#pyoci-lane.}" ]; then remove_lane_cgroups "$name"; fi
        done
    done <<<"$(cgroup_hierarchies)"
}

# enter_lane_cgroups NAME: makes the cgroup in every hierarchy and moves the calling shell there.
enter_lane_cgroups() {
    local point type options dir file
    while read -r point type options; do
        dir=$point/$1
        mkdir "$dir"
        for file in cpus mems; do # a new cpuset of version 1 is empty and takes no process
            if [ -e "$dir/cpuset.$file" ]; then cat "$point/cpuset.$file" >"$dir/cpuset.$file"; fi
        done
        if [ -e "$dir/cpu.rt_runtime_us" ]; then # without a share of it no real-time policy is allowed
            echo 100000 >"$dir/cpu.rt_runtime_us" || true
        fi
        if [ "$type" = cgroup2 ]; then
            # What the machine gives to its root's children is the lane's too.
            for file in $(cat "$point/cgroup.controllers"); do
                echo "+$file" >"$point/cgroup.subtree_control" 2>/dev/null || true
            done
        fi
        echo "$BASHPID" >"$dir/cgroup.procs"
    done <<<"$(cgroup_hierarchies)"
}

# enter_lane_leaf NAME: moves the calling shell into a leaf of the lane's cgroup in version 2, where a cgroup that has
# processes gives no controller to its children.
enter_lane_leaf() {
    local point type options
    while read -r point type options; do
        [ "$type" = cgroup2 ] || continue
        mkdir "$point/$1/init"
        echo "$BASHPID" >"$point/$1/init/cgroup.procs"
    done <<<"$(cgroup_hierarchies)"
}

# give_controllers: what the machine gives to the lane in version 2, the lane gives to its cgroups.
give_controllers() {
    local dir controller
    for dir in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [ -e "$dir/cgroup.subtree_control" ] || continue
        for controller in $(cat "$dir/cgroup.controllers"); do
            echo "+$controller" >"$dir/cgroup.subtree_control"
        done
    done
}
