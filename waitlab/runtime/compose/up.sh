# The part of ./lab that brings the containers up and takes them down. Sourced by it: `die`, `compose`, `engine`, $here,
# $reason and $instead are its own.
# shellcheck shell=bash disable=SC2154
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-waitlab}
# The engine refuses a limit above the CPUs it has, and compose.yaml's default is two.
if [ "$(docker info --format '{{.NCPU}}' 2>/dev/null)" = 1 ]; then export LAB_CPUS=${LAB_CPUS:-1}; fi
work=$(mktemp -d)
trap 'rm -rf "$work" ${lock:+"$lock"}' EXIT
job='' keep='' lock=''

say() {
  wipe
  printf '%s\n' "$1"
}

wipe() { [ ! -t 1 ] || printf '\r\033[K'; } # the line that tells what is waited for

# --- What the engine knows --------------------------------------------------------------------------------------------

ids() {
  docker ps "$@" --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter label=com.docker.compose.oneoff=False
}

containers() { # a line each, as waitlab/runtime/compose/containers.py reads them
  local all service='{{index .Config.Labels "com.docker.compose.service"}}'
  local health='{{with index .State "Health"}}{{.Status}}{{else}}none{{end}}' # .State.Health fails where there is none
  # shellcheck disable=SC2016 # the engine's own variables
  local ports='{{range $inside, $at := .HostConfig.PortBindings}}{{range $at}}{{.HostIp}}:{{.HostPort}}:{{$inside}},{{end}}{{end}}-'
  all=$(ids --all)
  # shellcheck disable=SC2086 # a word for each id; one may go while we look
  [ -z "$all" ] || docker inspect $all 2>/dev/null --format "$service {{slice .Id 0 12}} {{.State.Status}} $health \
{{.State.OOMKilled}} {{.State.ExitCode}} {{.HostConfig.Memory}} $ports" || true
}

known() { containers | awk '!seen[$1]++ {print $1}'; }

is_up() { [ -n "$(ids --all)" ]; }

lab_image() { sed -n 's/^ *image: \(waitlab-lab:.*\)/\1/p' "$here/compose.yaml"; }

alone() { # a container of ours without the lab
  docker run --rm --interactive --init --network none --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges "$@"
}

printable() { # a log quotes strangers: what would move the cursor or colour the screen is shown as a question mark
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line#$'\033[2K'} # that is compose's own
    printf '%s\n' "${line//[!$'\t'[:print:]]/?}"
  done
}

last_words() { tail -n 15 | printable | sed 's/^/  /'; }

# --- What takes long, and how it ends ---------------------------------------------------------------------------------

begin() { # in a process group of its own: a terminal's Ctrl-C is for this script, which ends what it began
  set -m
  "$@" >"$work/log" 2>&1 </dev/null &
  job=$!
  set +m
}

finish() { # what is being done, in words, if it takes long; the exit code of what was begun
  local began=$SECONDS code=0
  while kill -0 "$job" 2>/dev/null; do
    if [ -n "$1" ] && [ $((SECONDS - began)) -ge 5 ]; then
      say "  $1"
      set -- ''
    fi
    sleep 0.2
  done
  wait "$job" || code=$?
  job=''
  return $code
}

end() { # what was begun and goes on
  [ -n "$job" ] || return 0
  kill -TERM -- "-$job" 2>/dev/null || true
  wait "$job" 2>/dev/null || true
  job=''
}

take_down() { # seconds that each part has to end by itself; also what is just being started
  trap '' INT TERM HUP
  end
  begin compose down --volumes --remove-orphans --timeout "${1:-8}"
  finish '' || die 1 "the lab could not be stopped whole: $(tail -n 1 "$work/log")" 'try again: make lab-down'
}

fail() { # exit code, message, remedy; what was started goes, unless it is a lab that was up before
  if [ -n "$keep" ]; then end; else take_down; fi
  wipe
  die "$@"
}

interrupted() {
  trap '' INT TERM HUP
  if [ -n "$keep" ]; then
    end
    wipe
    die 105 'interrupted: what was to be started anew may be dead still' 'go on: make lab-up'
  fi
  take_down 2 # nothing has been asked of it yet
  wipe
  die 105 'interrupted: the lab was stopped, nothing of it is left'
}

down() {
  local was='The lab was not up.'
  ! is_up || was='The lab is down.'
  take_down
  say "$was"
}

# --- Before anything starts -------------------------------------------------------------------------------------------

only_one() { # two calls that start the same lab would each take the other's containers for dead
  local file=${work%/*}/waitlab-$UID-$COMPOSE_PROJECT_NAME.up holder
  echo $$ >"$work/pid"
  if ! ln "$work/pid" "$file" 2>/dev/null; then
    holder=$(cat "$file" 2>/dev/null || true)
    if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
      die 1 "the lab is being started already (process $holder)" "wait for it; or, if that is no ./lab: rm $file"
    fi
    ln -f "$work/pid" "$file" 2>/dev/null || true # it was left by one that was killed
  fi
  lock=$file
}

build() {
  begin compose build
  finish 'building the images; the first time takes some minutes' && return
  compose config --quiet 2>"$work/said" || wrong_settings
  local base=${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$here/Dockerfile")}
  if grep -qiE 'registry|pull access denied|manifest (for|unknown)' "$work/log"; then no_image "$base"; fi
  fail 122 "the images could not be built. The build ends:
$(last_words <"$work/log")" "docker compose --profile verbs build shows all of it; or: $instead"
}

wrong_settings() { # so wrong that Compose cannot read its file with them; our own words are better, if we have them
  wipe
  ! docker image inspect "$(lab_image)" >/dev/null 2>&1 || check_settings /dev/null
  die 2 "a setting is wrong: $(tail -n 1 "$work/said" | printable)" 'settings come from the shell and from a file .env'
}

pull() {
  local image
  # shellcheck disable=SC2046 # a word for each part
  for image in $(compose config --images $(parts) | sort -u); do
    docker image inspect "$image" >/dev/null 2>&1 && continue
    say "  fetching the image $image"
    begin docker pull --quiet "$image"
    finish '' || no_image "$image"
  done
}

no_image() {
  local without=''
  case $1 in */grafana:*) without='LAB_GRAFANA=0 leaves it out; ' ;; */tempo:*) without='LAB_TEMPO=0 leaves it out; ' ;; esac
  fail 122 "the image $1 cannot be had: $(tail -n 1 "$work/log" | printable)" \
    "docker pull $1 tries again; ${without}or: $instead"
}

check_settings() { # refuses what is wrong; else writes the ports to publish, and what is left out, to this file
  begin settings
  finish '' || { local code=$? && wipe && cat "$work/log" >&2 && exit $code; }
  cp "$work/log" "$1"
}

settings() {
  local name given=()
  for name in $(compgen -e); do
    case $name in
      FLASK_* | FASTAPI_* | DJANGO_* | UPSTREAM_* | LOCUST_* | PROMETHEUS_* | POSTGRES_* | HOST_* | EDGE | EDGE_* | TEMPO_* | GRAFANA_* | \
        VERBS_* | LAB_BIND | LAB_CPUS | LAB_GRAFANA | LAB_TEMPO) given+=(--env "$name") ;;
    esac
  done
  { cat "$here/.env" 2>/dev/null || true; } | alone ${given[@]+"${given[@]}"} --entrypoint python "$(lab_image)" \
    -m waitlab.runtime.compose.settings
}

parts() { compose --profile '' config --services | grep -vxF -e lab -e "$(sed -n 's/^without //p' "$work/settings")"; }

require_ports() {
  local setting port address
  while read -r _ setting port address; do
    [ "$address" != 0.0.0.0 ] || address=127.0.0.1
    if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then port_taken "$port"; fi
  done < <(grep '^port ' "$work/settings")
}

port_taken() {
  local setting
  setting=$(awk -v port="$1" '$1 == "port" && $3 == port {print $2}' "$work/settings")
  fail 106 "port $1 ($setting) is taken by another program" "stop what holds it, or choose another port: $setting=..."
}

# --- up ---------------------------------------------------------------------------------------------------------------

up() {
  only_one
  # The containers' users are others than this one: a umask such as 077 keeps their configuration from them.
  chmod -R go+rX "$here"/{edge,grafana,prometheus,tempo} 2>/dev/null || true
  if is_up; then
    keep=yes
    trap interrupted INT TERM HUP
    say 'The lab is up, as it was started: the settings of this call change nothing.'
    mend
  else
    trap interrupted INT TERM HUP
    say "The compose runtime: $reason."
    build
    check_settings "$work/settings"
    require_ports
    pull
    start
  fi
  trap - INT TERM HUP
  say ''
  verb addresses
}

mend() { # start anew what is dead or gone; the others go on, with as many replicas as they were
  local seen dead gone scales sick names
  # shellcheck disable=SC2016 # awk's own variables
  sick='$1 != "setup" && ($3 != "running" || $4 == "unhealthy")'
  seen=$(containers)
  scales=$(awk '{n[$1]++} END {for (part in n) if (n[part] > 1) print "--scale", part "=" n[part]}' <<<"$seen")
  dead=$(awk "$sick {print \$2}" <<<"$seen")
  known >"$work/known"
  for gone in tempo grafana; do grep -qx "$gone" "$work/known" || echo "without $gone"; done >"$work/settings"
  gone=$(parts | grep -vxFf "$work/known" || true)
  names=$({ awk "$sick {print \$1}" <<<"$seen" && echo "$gone"; } | awk 'NF && !told[$1]++' | paste -s -d ' ' -)
  [ -n "$names" ] || return 0
  check_settings "$work/given"
  grep '^port ' "$work/given" >>"$work/settings"
  say "  but for what is started anew: $names"
  # shellcheck disable=SC2086 # a word for each id and option
  {
    [ -z "$dead" ] || docker rm --force $dead >/dev/null
    said=$(known) start $scales
  }
}

start() { # options of `compose up`; says each part that gets healthy, but those in $said, until all are
  local began=$SECONDS told=" ${said:-} " starts waits part id state health oom code memory
  told=${told//$'\n'/ }
  # Without Tempo the spans go to files, as on the local runtime, rather than nowhere.
  if grep -qx 'without tempo' "$work/settings"; then export OTLP_ENDPOINT=${OTLP_ENDPOINT-}; fi
  # shellcheck disable=SC2046 # a word for each part
  begin compose up --detach --no-build --no-recreate "$@" $(parts)
  while :; do
    starts=$job waits=''
    if [ -n "$job" ] && ! kill -0 "$job" 2>/dev/null; then starts=''; fi # asked first: what it did is in what we see
    while read -r part id state health oom code memory _; do
      case $part/$state/$health/$code in
        setup/exited/*/0) ;;
        */exited/* | */dead/* | */unhealthy/*) died ;;
        setup/* | */created/* | */starting/*) waits="$waits $part" ;;
        */running/*)
          [ "${told/ $part /}" != "$told" ] || say "  $part is healthy ($((SECONDS - began)) s)"
          told="$told$part "
          ;;
      esac
    done <<<"$(containers)"
    if [ -n "$job" ] && [ -z "$starts" ]; then finish '' || could_not_start; fi
    [ -n "$starts$waits" ] || break
    [ ! -t 1 ] || printf '\r\033[K  %s s: waiting for%s' $((SECONDS - began)) "${waits:- the engine}"
    sleep 0.3
  done
  say "All parts are healthy after $((SECONDS - began)) s."
}

died() { # the part that `start` looks at
  local how="ended with exit code $code"
  [ "$state" != running ] || how='does not get healthy'
  [ "$code" != 137 ] || how='was killed by SIGKILL'
  [ "$oom" != true ] ||
    how="was killed for lack of memory (limit $((memory / 1048576)) MB; $(tr 'a-z-' 'A-Z_' <<<"$part")_MEMORY gives it more)"
  fail 1 "$part $how while the lab started. Its log ends:
$(docker logs --tail 15 "$id" 2>&1 | last_words)"
}

could_not_start() {
  local port
  port=$(grep -E 'already allocated|address already in use' "$work/log" | grep -oE ':[0-9]+' | head -n 1 | tr -d :) || true
  [ -z "$port" ] || port_taken "$port"
  fail 1 "the engine could not start the lab. It says:
$(grep -vE '^ *(Container|Network|Volume) ' "$work/log" | last_words)" "the lab was stopped; $instead"
}
