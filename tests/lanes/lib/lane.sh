# Options common to the lanes, and how a lane is entered and left.  Sourced after common.sh and cgroups.sh.

lane_usage() {
    cat >&2 <<END
usage: tests/lanes/$LANE [option...] COMMAND [ARGUMENT...]
  one COMMAND word alone is a shell line; several are run as they are; the exit status is theirs
  --v2             a view of the cgroups with version 2 only (tree; the booted tree and the guest have no other)
  --cgroups WHICH  v1 or hybrid: boot with those hierarchies (guest)
  --results DIR    directory of this machine at /results, writable (default: a new one, removed if it stays empty)
  --ro PATH        one more file or directory of this machine at its own path, read-only (may be repeated)
  --no-pyoci       do not install pyoci into the lane
  --net            keep the machine's network (tree; the fresh system always does)
  --keep           do not remove the system afterwards (fresh)
END
    exit 125
}

# lane_options "$@": sets CGROUPS RESULTS READ_ONLY PYOCI NET KEEP and COMMAND, or ends with the usage text.
lane_options() {
    CGROUPS=host RESULTS='' READ_ONLY='' PYOCI=yes NET=private KEEP=no
    while [ $# -gt 0 ]; do
        case $1 in
        --v2) CGROUPS=v2 ;;
        --net) NET=host ;;
        --keep) KEEP=yes ;;
        --no-pyoci) PYOCI=no ;;
        --results | --ro | --cgroups)
            [ $# -gt 1 ] || lane_usage
            case $1 in
            --results)
                mkdir -p "$2"
                RESULTS=$(realpath -e -- "$2")
                ;;
            --ro) READ_ONLY+=$(realpath -e -- "$2")$'\n' ;;
            --cgroups)
                [ "$LANE" = guest ] || lane_usage
                CGROUPS=$2
                ;;
            esac
            shift
            ;;
        --) shift; break ;;
        -*) lane_usage ;;
        *) break ;;
        esac
        shift
    done
    [ $# -gt 0 ] || lane_usage
    if [ $# -eq 1 ]; then COMMAND=(sh -c "$1"); else COMMAND=("$@"); fi
}

# lane_results: makes the default results directory; lane_results_done removes it if nothing is in it.
lane_results() {
    local dir
    mkdir -p "$CACHE/results"
    for dir in "$CACHE"/results/*.*; do # empty ones of lanes that were killed
        if [ -d "$dir" ] && [ ! -e "/proc/${dir##*.}" ]; then rmdir "$dir" 2>/dev/null || true; fi
    done
    if [ -n "$RESULTS" ]; then
        OWN_RESULTS=no
    else
        OWN_RESULTS=yes
        RESULTS=$CACHE/results/$LANE.$$
        mkdir "$RESULTS"
    fi
}

lane_results_done() {
    if [ "$OWN_RESULTS" = yes ] && ! rmdir "$RESULTS" 2>/dev/null; then say "results: $RESULTS"; fi
}

# lane_environment: NAME=VALUE words, one a line, that the command gets; nothing else is inherited
# but TERM and the variables named PYOCI_*.
lane_environment() {
    cat <<END
PATH=/opt/pyoci/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
USER=root
LANG=C.UTF-8
TERM=${TERM:-dumb}
RESULTS=/results
PYOCI_LANE=$LANE
PYOCI=/opt/pyoci/bin/pyoci
PYTHONPYCACHEPREFIX=/var/tmp/pycache
PYTEST_ADDOPTS=-p no:cacheprovider
HYPOTHESIS_STORAGE_DIRECTORY=/var/tmp/hypothesis
END
    env | grep -E '^PYOCI_[A-Z0-9_]+=' | grep -vE '^PYOCI_LANE(S_CACHE)?=' || true
}

# lane_run_directory: prints a directory for what this machine and the inside of the lane tell each other.
lane_run_directory() {
    local dir
    mkdir -p "$CACHE/run"
    for dir in "$CACHE"/run/*.*; do # those of lanes that were killed
        if [ -d "$dir" ] && [ ! -e "/proc/${dir##*.}" ]; then rm -rf --one-file-system -- "$dir"; fi
    done
    mkdir "$CACHE/run/$LANE.$$"
    printf '%s\n' "$CACHE/run/$LANE.$$"
}

# lane_run ENTER WORD...: runs ENTER with those words as process 1 of new namespaces, in the lane's own cgroups,
# and leaves nothing: processes die with their process 1, cgroups are removed.
# Sets STATUS.
lane_end() {
    if [ -n "$LANE_CHILD" ]; then
        kill -KILL "$LANE_CHILD" 2>/dev/null || true
        wait "$LANE_CHILD" 2>/dev/null || true
    fi
    if [ -n "${LANE_READERS:-}" ]; then kill -KILL $LANE_READERS 2>/dev/null || true; fi
    remove_lane_cgroups "pyoci-lane.$$"
    if [ -n "${LANE_RUN:-}" ]; then rm -rf --one-file-system -- "$LANE_RUN"; fi
    lane_results_done
    if [ -n "${LANE_SYSTEM:-}" ]; then rm -rf --one-file-system -- "$LANE_SYSTEM"; fi
}

lane_run() {
    local net=--net
    if [ "$NET" = host ]; then net=; fi
    remove_stale_lane_cgroups
    LANE_CHILD=
    trap lane_end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p "$CACHE/root"
    # In the background and waited for, so that a signal to this script ends the lane at once.
    (
        trap - EXIT HUP INT TERM
        enter_lane_cgroups "pyoci-lane.$$"
        exec setpriv --pdeathsig KILL unshare --mount --uts --ipc --cgroup --propagation private $net \
            "$LIB/enter-leaf" "pyoci-lane.$$" "$@"
    ) <&0 &
    LANE_CHILD=$!
    STATUS=0
    wait "$LANE_CHILD" || STATUS=$?
    LANE_CHILD=
}
