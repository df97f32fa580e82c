# Signals all processes of a console, and prints how often it found one. $1: the mark in their environment. $2: the signal.
# It uses only what a POSIX shell has built in: an image may have no other programs.
found=0 sessions=' '

has_mark() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in *"$mark"*) return 0 ;; esac
    done 2>/dev/null <"/proc/$1/environ"
    return 1
}

# Reads the state and the session of process $1. They follow its name, which stands in parentheses.
look_at() {
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    set -- ${stat##*) }
    state=$1 session=$4
}

end() {
    kill -s "$signal" "$1" 2>/dev/null
    # A suspended process handles the signal only when it continues.
    kill -s CONT "$1" 2>/dev/null
    found=$((found + 1))
}

mark=$1 signal=$2
for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    look_at "$pid" && has_mark "$pid" || continue
    end "$pid"
    # The instance itself has session 1, or 0 if another namespace leads it.
    [ "$session" -gt 1 ] && sessions="$sessions$session "
done
# Processes that have cleared their environment, or belong to another user.
for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    look_at "$pid" && [ "$state" != Z ] || continue
    case $sessions in *" $session "*) end "$pid" ;; esac
done
echo "$found"
