# shellcheck shell=bash
# The real servers of the live tests: clamd with a private signature database, and c-icap.
#
# Sourced by tests/run, which calls, in this order:
#   live_folder            makes the private folder $LIVE_DIR
#   start_clamd            sets ICAP_LIVE_CLAMD_SOCKET
#   start_c_icap NAME      sets C_ICAP_PORT; may be called again with another NAME
#   stop_all               on every way out
# On a failure to start they print the server's log and exit.

LIVE_TEMPLATES=$(dirname -- "${BASH_SOURCE[0]}")
ICAP_LIVE_TESTFILES=/usr/share/clamav-testfiles
LIVE_DIR=
LIVE_LEFTOVERS=() # files outside $LIVE_DIR that a killed server leaves behind
STARTED=()        # the process groups that spawn started and that may still be there

# Not below $TMPDIR: Debian's AppArmor profile lets clamd work in /tmp but not everywhere,
# and the path of a Unix socket must stay under 108 bytes.
live_folder() {
    LIVE_DIR=$(mktemp -d /tmp/icap-client-live.XXXXXX)
}

start_clamd() {
    write_signatures "$LIVE_DIR/signatures"
    fill_in clamd.conf.in "$LIVE_DIR/clamd.conf"
    ICAP_LIVE_CLAMD_SOCKET=$LIVE_DIR/clamd.sock
    spawn clamd --config-file="$LIVE_DIR/clamd.conf" >"$LIVE_DIR/clamd.out" 2>&1
    disown "$SPAWNED"
    if ! within 60 ended_or "$SPAWNED" clamd_answers || ! running "$SPAWNED"; then
        give_up clamd "$LIVE_DIR/clamd.out"
    fi
}

# A port can be taken between the choice and c-icap's bind, so another is tried then.
start_c_icap() {
    local name=$1 attempt
    for ((attempt = 0; attempt < 20; attempt++)); do
        C_ICAP_PORT=$(free_port)
        rm -f "$LIVE_DIR/$name".{log,pid,ctl}
        fill_in c-icap.conf.in "$LIVE_DIR/$name.conf" "$name" "$C_ICAP_PORT"
        # -D: without it, an error in the configuration is not printed anywhere.
        spawn c-icap -N -D -f "$LIVE_DIR/$name.conf" >"$LIVE_DIR/$name.out" 2>&1
        disown "$SPAWNED"
        if within 30 ended_or "$SPAWNED" c_icap_finds_eicar "$name" && running "$SPAWNED"; then
            remember_lock_files "$SPAWNED"
            return
        fi
        grep -qs 'Error binding' "$LIVE_DIR/$name.log" || break
        forget "$SPAWNED"
    done
    give_up c-icap "$LIVE_DIR/$name.log" "$LIVE_DIR/$name.out"
}

# Ends what spawn started, children included, and removes the private folder.
stop_all() {
    local group
    for group in "${STARTED[@]}"; do
        kill -TERM -- "-$group" 2>/dev/null || true
    done
    for group in "${STARTED[@]}"; do
        within 15 group_ended "$group" || kill -KILL -- "-$group" 2>/dev/null || true
    done
    STARTED=()
    [[ -z $LIVE_DIR ]] || rm -rf -- "$LIVE_DIR" "${LIVE_LEFTOVERS[@]}"
    LIVE_DIR=
}

# The last words of each server, for when a test failed.
show_server_logs() {
    local log
    for log in "$LIVE_DIR"/*.log; do
        [[ -s $log ]] || continue
        echo "== last lines of ${log##*/} =="
        tail -n 20 -- "$log"
    done
}

# --- signatures ---------------------------------------------------------------------------

# ClamAV's own database is a large download; two harmless test programs are enough here:
# EICAR, and the clam.exe that Debian's clamav-testfiles wraps in some forty formats.
# An .hdb line knows a file by its MD5 and size, an .ndb line finds its bytes within others.
# Everything is computed here, because scanners quarantine a checkout that contains EICAR.
write_signatures() {
    local folder=$1
    mkdir -p "$folder"
    eicar >"$LIVE_DIR/eicar.com"
    signatures_of Eicar-Test-Signature "$LIVE_DIR/eicar.com" "$folder"
    signatures_of ClamAV-Test-File "$ICAP_LIVE_TESTFILES/clam.exe" "$folder"
}

signatures_of() {
    local name=$1 file=$2 folder=$3 md5 hex
    md5=$(md5sum <"$file" | cut -c 1-32)
    hex=$(od -An -v -tx1 <"$file" | tr -d ' \n')
    echo "$md5:$(stat -c %s "$file"):$name" >>"$folder/test.hdb"
    echo "$name:0:*:$hex" >>"$folder/test.ndb"
}

eicar() {
    # shellcheck disable=SC2016 # the $ is part of the text
    printf '%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$EIC' 'AR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
}

# --- are they ready? ----------------------------------------------------------------------

clamd_answers() {
    [[ -S $ICAP_LIVE_CLAMD_SOCKET ]] || return 1
    perl -MIO::Socket::UNIX -e '
        alarm 5;
        my $clamd = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1;
        print $clamd "nPING\n";
        exit(<$clamd> ne "PONG\n");
    ' "$ICAP_LIVE_CLAMD_SOCKET"
}

# A c-icap that answers OPTIONS may still let everything pass (it does when clamd is away),
# so EICAR decides. Its own log proves that it was this c-icap that answered on the port.
c_icap_finds_eicar() {
    local name=$1 copy=$LIVE_DIR/$1-answer
    rm -f "$copy"
    timeout 10 c-icap-client -i 127.0.0.1 -p "$C_ICAP_PORT" -s avscan -nopreview -v \
        -f "$LIVE_DIR/eicar.com" -o "$copy" 2>&1 | grep -aq 'X-Infection-Found' &&
        grep -qs 'VIRUS DETECTED' "$LIVE_DIR/$name.log"
}

# Below 32768, where Linux does not hand out ports to outgoing connections.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12768)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

give_up() {
    local what=$1 log
    shift
    echo "tests/run: $what did not start; the last lines of its log:" >&2
    for log; do
        [[ ! -e $log ]] || tail -n 20 -- "$log" >&2
    done
    exit 1
}

# --- processes ----------------------------------------------------------------------------

# spawn COMMAND...: in the background, leading a session and process group of its own,
# $SPAWNED. So its children are known, and a Ctrl-C reaches this script alone, which then
# ends them in order. (Background commands of a script ignore SIGINT unless it is set back.)
spawn() {
    env --default-signal=INT,QUIT setsid "$@" </dev/null &
    SPAWNED=$!
    STARTED+=("$SPAWNED")
}

# An ended process's number may be given to another: it must not be signalled any more.
forget() {
    local group kept=()
    for group in "${STARTED[@]}"; do
        [[ $group == "$1" ]] || kept+=("$group")
    done
    STARTED=("${kept[@]}")
}

# within SECONDS COMMAND...: ten tries a second until COMMAND succeeds or time is up.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

running() {
    kill -0 "$1" 2>/dev/null
}

# ended_or PID COMMAND...: there is nothing to wait for once the process has ended.
ended_or() {
    local pid=$1
    shift
    ! running "$pid" || "$@"
}

# Zombies do not count: where process 1 does not reap them, they stay.
group_ended() {
    ! cat /proc/[0-9]*/stat 2>/dev/null |
        awk -v group="$1" '{ sub(/^.*\) /, "") } $3 == group && $1 != "Z" { n++ } END { exit !n }'
}

remember_lock_files() {
    local file
    for file in /proc/"$1"/fd/*; do
        file=$(readlink "$file") || continue
        [[ $file != */icap_lock_* ]] || LIVE_LEFTOVERS+=("$file")
    done
}

fill_in() {
    local template=$1 target=$2 name=${3-} port=${4-}
    sed -e "s|@DIR@|$LIVE_DIR|g; s|@NAME@|$name|g; s|@PORT@|$port|g" \
        "$LIVE_TEMPLATES/$template" >"$target"
}
