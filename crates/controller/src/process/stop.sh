# Runs the command in "$3" and the arguments after it, and ends with its exit code. Passes the stop signal on to it, and
# then ends with the last process of the command.
#
# $1: the stop signal, for example TERM. $2: its bit in the signal masks of /proc/PID/status.

# Signals each process once, in the right order, and waits for the last one.
stop() {
  trap '' TERM "$1"
  signal=$1 bit=$2 asked=' '
  ask
  wait "$main" 2>/dev/null
  code=$?
  while ask; do sleep 0.1 || sleep 1 || break; done
  exit "$code"
}

# Signals the processes whose turn it is. Fails when no process is left.
ask() {
  found=' ' left=
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    case $pid in 1|$$) continue ;; esac
    case $asked in
      *" $pid "*) [ "$pid" = "$main" ] || { [ ! -d "$directory" ] || found="$found$pid "; continue; } ;;
    esac
    state='' parent=0 handlers=0
    while read -r key value rest; do
      case $key in
        State:) state=$value ;;
        PPid:) parent=$value ;;
        SigCgt:) handlers=$value; break ;;
      esac
    done 2>/dev/null <"$directory/status"
    case $state in ''|[ZX]) continue ;; esac
    handles=$((0x${handlers#????????} & bit))
    # A shell that waits for a program handles INT as well, and leaves it to the program.
    if [ "$signal" = INT ]; then
      for shell in /bin/sh /bin/bash; do [ ! "$directory/exe" -ef "$shell" ] || handles=0; done
    fi
    eval "parent_$pid=$parent handles_$pid=$handles"
    found="$found$pid "
  done
  for pid in $found; do
    above=$pid turn=yes
    while eval "above=\${parent_$above:-1}" && [ "$above" -gt 1 ] && [ "$above" != $$ ]; do
      # A program that handles the signal takes care of the processes that it started.
      eval "[ \"\${handles_$above:-0}\" = 0 ]" || turn=
    done
    # Started from outside, as by `docker exec`.
    [ "$above" != 0 ] || continue
    left=yes
    case $asked in *" $pid "*) continue ;; esac
    if [ -p "/proc/$pid/fd/0" ]; then
      # It reads the output of another process, and may finish reading first.
      for other in $found; do
        if [ "$other" != "$pid" ] && [ "/proc/$other/fd/1" -ef "/proc/$pid/fd/0" ]; then turn=; break; fi
      done
    fi
    [ "$turn" ] || continue
    asked="$asked$pid "
    # A process without a handler, such as a shell that waits, only must not start another program.
    if eval "[ \"\$handles_$pid\" = 0 ]"; then kill -TERM "$pid"; else kill "-$signal" "$pid"; fi
  done 2>/dev/null
  [ "$left" ]
}

# The script sets no variable before the command runs: the command would inherit the changed value.
trap 'stop "$1" "$2"' TERM "$1"
(trap - INT QUIT; shift 2; exec "$@") &
main=$!
wait "$main" 2>/dev/null
exit $?
