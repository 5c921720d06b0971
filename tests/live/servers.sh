# shellcheck shell=bash
# The real servers of the live tests: clamd with a private signature database, c-icap, HAProxy.
#
# Sourced by tests/run, which calls, in this order:
#   live_folder              makes the private folder $LIVE_DIR
#   start_clamd NAME         with signatures of its own, in $LIVE_DIR/NAME.signatures
#   start_c_icap NAME        sets C_ICAP_PORT; may be called again with another NAME. `blind` finds
#                            no clamd; `canary` has the clamd `changing`, the others `clamd`; `in-process` (engine clamav_mod) and `full` (little space in
#                            TmpDir) need root
#   start_c_icap_tls         sets TLS_PORT, OTHER_NAME_PORT, EXPIRED_PORT, CLIENTS_PORT, and
#                            ICAP_LIVE_TLS_DIR with the certificates
#   start_haproxy NAME A B   sets HAPROXY_PORT, before these two ports
#   stop_all                 at every exit
# and by tests/live/c-icap, with which a test kills a c-icap and starts it again:
#   kill_c_icap NAME       with SIGKILL, children included
#   restart_c_icap NAME    on the same port, with clamd
#   blind_c_icap NAME      on the same port, as if clamd was away when it started
# On a failure to start they print the server's log and exit.

LIVE_TEMPLATES=$(dirname -- "${BASH_SOURCE[0]}")
ICAP_LIVE_TESTFILES=/usr/share/clamav-testfiles
LIVE_DIR=
STARTED=() # the process groups that spawn started and that may still be there

# Not below $TMPDIR: Debian's AppArmor profile lets clamd work in /tmp but not everywhere,
# and the path of a Unix socket must stay under 108 bytes.
live_folder() {
    LIVE_DIR=$(mktemp -d /tmp/icap-client-live.XXXXXX)
}

start_clamd() {
    local name=$1
    write_signatures "$LIVE_DIR/$name.signatures"
    fill_in clamd.conf.in "$LIVE_DIR/$name.conf" "$name"
    spawn clamd --config-file="$LIVE_DIR/$name.conf" >"$LIVE_DIR/$name.out" 2>&1
    disown "$SPAWNED"
    if ! within 60 ended_or "$SPAWNED" clamd_answers "$name" || ! running "$SPAWNED"; then
        give_up clamd "$LIVE_DIR/$name.out"
    fi
}

# A port can be taken between the choice and c-icap's bind, so another is tried then.
start_c_icap() {
    local name=$1 ready=c_icap_finds_eicar attempt
    mkdir -p "$LIVE_DIR/$name.tmp"
    if [[ $name == blind ]]; then
        ready=c_icap_has_no_engine
    else
        show_clamd_to "$name"
    fi
    for ((attempt = 0; attempt < 20; attempt++)); do
        C_ICAP_PORT=$(free_port)
        fill_in c-icap.conf.in "$LIVE_DIR/$name.conf" "$name" "$C_ICAP_PORT"
        engine "$name" >>"$LIVE_DIR/$name.conf"
        [[ $name != tls ]] || tls_ports >>"$LIVE_DIR/$name.conf"
        ! launch_c_icap "$name" "$C_ICAP_PORT" "$ready" || return 0
        forget "$SPAWNED"
        grep -qs 'Error binding' "$LIVE_DIR/$name.log" || break
    done
    give_up c-icap "$LIVE_DIR/$name.log" "$LIVE_DIR/$name.out"
}

engine() {
    if [[ $1 == in-process ]]; then
        echo 'Module common clamav_mod.so'
    else
        echo 'Module common clamd_mod.so'
        echo "clamd_mod.ClamdSocket $LIVE_DIR/$1.sock"
    fi
}

# c-icap looks for clamd when it starts, and never again.
show_clamd_to() {
    local clamd=clamd
    [[ $1 != canary ]] || clamd=changing
    ln -sfn "$clamd.sock" "$LIVE_DIR/$1.sock"
}

# The mounts that only this c-icap sees, and that end with it: clamav_mod's folder of signatures is
# compiled in, and 1028 KiB for TmpDir are enough for the scan that shows that it is ready.
mount_for() {
    case $1 in
        in-process) echo "mount --bind '$LIVE_DIR/clamd.signatures' /var/lib/clamav" ;;
        full) echo "mount -t tmpfs -o size=1028k,mode=0777 none '$LIVE_DIR/full.tmp'" ;;
    esac
}

# A c-icap that also listens for TLS: with a good certificate, with one for another name, with an
# expired one, and once more with a good one but for clients with a certificate only.
start_c_icap_tls() {
    ICAP_LIVE_TLS_DIR=$LIVE_DIR/tls
    make_certificates >"$LIVE_DIR/openssl.log" 2>&1 || give_up openssl "$LIVE_DIR/openssl.log"
    start_c_icap tls
}

tls_ports() {
    TLS_PORT=$(free_port)
    OTHER_NAME_PORT=$(free_port)
    EXPIRED_PORT=$(free_port)
    CLIENTS_PORT=$(free_port)
    tls_port "$TLS_PORT" server
    tls_port "$OTHER_NAME_PORT" other-name
    tls_port "$EXPIRED_PORT" expired
    tls_port "$CLIENTS_PORT" server \
        "client_ca=$ICAP_LIVE_TLS_DIR/ca.pem cafile=$ICAP_LIVE_TLS_DIR/ca.pem"
}

tls_port() {
    local port=$1 name=$2 more=${3-}
    echo "TlsPort 127.0.0.1:$port cert=$ICAP_LIVE_TLS_DIR/$name.pem key=$ICAP_LIVE_TLS_DIR/$name.key $more"
}

# Files hold what another process needs to end it: its process group, and the files outside
# $LIVE_DIR that remain when it is killed.
launch_c_icap() {
    local name=$1 port=$2 ready=$3 mount namespace=()
    rm -f "$LIVE_DIR/$name".{log,pid,ctl}
    mount=$(mount_for "$name")
    [[ -z $mount ]] || namespace=(unshare --mount sh -ec "$mount"' && exec "$@"' sh)
    # -D: without it, an error in the configuration is not printed anywhere.
    # shellcheck disable=SC2016 # expanded by the shell that is started
    spawn "${namespace[@]}" sh -c 'echo $$ >"$0" && exec "$@"' "$LIVE_DIR/$name.group" \
        c-icap -N -D -f "$LIVE_DIR/$name.conf" >"$LIVE_DIR/$name.out" 2>&1
    disown "$SPAWNED"
    within 30 ended_or "$SPAWNED" "$ready" "$name" "$port" && running "$SPAWNED" || return 1
    lock_files "$SPAWNED" >>"$LIVE_DIR/leftovers"
    forget "$SPAWNED" # the file knows better whether it is still there
}

# Killing only the first process would leave its children, which go on serving. The port shows when all
# have ended: a process can be a zombie before the last of its threads has ended.
kill_c_icap() {
    local name=$1 group
    group=$(<"$LIVE_DIR/$name.group")
    kill -KILL -- "-$group"
    within 15 group_ended "$group"
    within 15 refuses "$(port_of "$name")"
    rm -f -- "$LIVE_DIR/$name.group"
}

restart_c_icap() {
    show_clamd_to "$1"
    relaunch_c_icap "$1" c_icap_finds_eicar
}

blind_c_icap() {
    rm -f -- "$LIVE_DIR/$1.sock"
    relaunch_c_icap "$1" c_icap_has_no_engine
}

relaunch_c_icap() {
    local name=$1 ready=$2
    [[ ! -e $LIVE_DIR/$name.group ]] || kill_c_icap "$name"
    launch_c_icap "$name" "$(port_of "$name")" "$ready" ||
        give_up c-icap "$LIVE_DIR/$name.log" "$LIVE_DIR/$name.out"
}

# The same file that the manual shows. HAProxy inserts the variables.
start_haproxy() {
    local name=$1 attempt log=$LIVE_DIR/$1.log
    export ICAP_BIND ICAP_SERVER_A=127.0.0.1:$2 ICAP_SERVER_B=127.0.0.1:$3
    for ((attempt = 0; attempt < 20; attempt++)); do
        HAPROXY_PORT=$(free_port)
        ICAP_BIND=127.0.0.1:$HAPROXY_PORT
        spawn haproxy -db -f "$LIVE_TEMPLATES/haproxy.cfg" >"$log" 2>&1
        disown "$SPAWNED"
        if within 30 ended_or "$SPAWNED" answer_finds_eicar "$name" "$HAPROXY_PORT" &&
            running "$SPAWNED"; then
            return
        fi
        forget "$SPAWNED"
        grep -qs 'cannot bind' "$log" || break
    done
    give_up HAProxy "$log"
}

# Ends what spawn started, children included, and removes the private folder. The c-icaps come
# last, because a test that is still running may start one again.
stop_all() {
    local file
    end_groups "${STARTED[@]}"
    STARTED=()
    [[ -n $LIVE_DIR ]] || return 0
    for file in "$LIVE_DIR"/*.group; do
        [[ ! -e $file ]] || STARTED+=("$(<"$file")")
    done
    end_groups "${STARTED[@]}"
    STARTED=()
    [[ ! -e $LIVE_DIR/leftovers ]] || xargs -r rm -f -- <"$LIVE_DIR/leftovers"
    rm -rf -- "$LIVE_DIR"
    LIVE_DIR=
}

# The last lines of each server's log, for a failed test.
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
# An .hdb line identifies a file by its MD5 and size. An .ndb line finds its bytes: EICAR's at the beginning
# of a file or of an archive's member, as ClamAV's own signature does, the other's anywhere.
# Everything is computed here, because scanners quarantine a checkout that contains EICAR.
write_signatures() {
    local folder=$1
    mkdir -p "$folder"
    eicar >"$LIVE_DIR/eicar.com"
    signatures_of Eicar-Test-Signature 0 "$LIVE_DIR/eicar.com" "$folder"
    signatures_of ClamAV-Test-File '*' "$ICAP_LIVE_TESTFILES/clam.exe" "$folder"
}

signatures_of() {
    local name=$1 offset=$2 file=$3 folder=$4 md5 hex
    md5=$(md5sum <"$file" | cut -c 1-32)
    hex=$(od -An -v -tx1 <"$file" | tr -d ' \n')
    echo "$md5:$(stat -c %s "$file"):$name" >>"$folder/test.hdb"
    echo "$name:0:$offset:$hex" >>"$folder/test.ndb"
}

eicar() {
    # shellcheck disable=SC2016 # the $ is part of the text
    printf '%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$EIC' 'AR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
}

# --- certificates -------------------------------------------------------------------------

make_certificates() {
    mkdir "$ICAP_LIVE_TLS_DIR" && (
        cd "$ICAP_LIVE_TLS_DIR" &&
            make_authority ca && make_authority other-ca &&
            make_certificate server IP:127.0.0.1 20000101000000Z 20991231235959Z &&
            make_certificate other-name DNS:av.example 20000101000000Z 20991231235959Z &&
            make_certificate expired IP:127.0.0.1 20000101000000Z 20010101000000Z &&
            make_certificate client DNS:client.example 20000101000000Z 20991231235959Z
    )
}

make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj "/CN=$1" -keyout "$1.key" -out "$1.pem"
}

# `openssl ca`, because nothing else of OpenSSL 3.0 dates a certificate back.
make_certificate() {
    local name=$1 alt_name=$2 from=$3 to=$4
    cat >"$name.cnf" <<END
[ca]
default_ca = ca
database = $name.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = $alt_name
END
    : >"$name.index"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" &&
        openssl ca -batch -notext -config "$name.cnf" -cert ca.pem -keyfile ca.key \
            -startdate "$from" -enddate "$to" -in "$name.csr" -out "$name.pem"
}

# --- readiness ----------------------------------------------------------------------

clamd_answers() {
    local socket=$LIVE_DIR/$1.sock
    [[ -S $socket ]] || return 1
    perl -MIO::Socket::UNIX -e '
        alarm 5;
        my $clamd = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1;
        print $clamd "nPING\n";
        exit(<$clamd> ne "PONG\n");
    ' "$socket"
}

# A c-icap that responds to OPTIONS may still let everything pass (it does when clamd is away),
# so EICAR decides. Its own log proves that this c-icap responded on the port.
c_icap_finds_eicar() {
    local name=$1 port=$2
    answer_finds_eicar "$name" "$port" && grep -qs 'VIRUS DETECTED' "$LIVE_DIR/$name.log"
}

# c-icap then computes its state tag from an empty list of engines.
c_icap_has_no_engine() {
    timeout 10 c-icap-client -i 127.0.0.1 -p "$2" -s avscan -v 2>&1 | grep -aq 1B2M2Y8AsgTpgAmY7PhCfg
}

answer_finds_eicar() {
    local copy=$LIVE_DIR/$1-answer port=$2
    rm -f "$copy"
    timeout 10 c-icap-client -i 127.0.0.1 -p "$port" -s avscan -nopreview -v \
        -f "$LIVE_DIR/eicar.com" -o "$copy" 2>&1 | grep -aq 'X-Infection-Found'
}

# Below 32768, where Linux does not hand out ports to outgoing connections.
free_port() {
    local port
    until port=$((20000 + RANDOM % 12768)) && refuses "$port"; do :; done
    echo "$port"
}

refuses() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

port_of() {
    sed -n 's/^Port .*://p' "$LIVE_DIR/$1.conf"
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

end_groups() {
    local group
    for group; do
        kill -TERM -- "-$group" 2>/dev/null || true
    done
    for group; do
        within 15 group_ended "$group" || kill -KILL -- "-$group" 2>/dev/null || true
    done
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

lock_files() {
    local file
    for file in /proc/"$1"/fd/*; do
        file=$(readlink "$file") || continue
        [[ $file != */icap_lock_* ]] || echo "$file"
    done
}

fill_in() {
    local template=$1 target=$2 name=${3-} port=${4-}
    sed -e "s|@DIR@|$LIVE_DIR|g; s|@NAME@|$name|g; s|@PORT@|$port|g" \
        "$LIVE_TEMPLATES/$template" >"$target"
}
