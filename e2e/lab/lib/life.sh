# The life of a lab as its user sees it: up, in, status, down.
# shellcheck shell=bash

up_deadline=${STRATA_LAB_UP_DEADLINE:-180}

up() {
  local owner='' owner_start='' began launcher reason
  nodes=3 disks=4 disk_size=''
  while (($#)); do
    case $1 in
      --owner) owner=${2:-} && shift 2 ;;
      --nodes) nodes=${2:-} && shift 2 ;;
      --disks) disks=${2:-} && shift 2 ;;
      --disk-size) disk_size=${2:-} && shift 2 ;;
      *) misuse "up does not know '$1'" ;;
    esac
  done
  [[ $nodes =~ ^[1-9]$ ]] || misuse "--nodes is a number from 1 to 9, not '$nodes'"
  [[ $disks =~ ^[1-9]$ ]] || misuse "--disks is a number from 1 to 9, not '$disks'"
  [[ -z $disk_size || $disk_size =~ ^[0-9]+[MG]$ ]] || misuse "--disk-size is a number with M or G, like 256M, not '$disk_size'"
  if [[ $owner ]]; then
    owner_start=$(started_at "$owner") || misuse "--owner is the id of a living process, not '$owner'"
  fi
  # A socket's path may have 107 bytes, and the longest of a node's takes 45 of them.
  ((${#run} <= 62)) || fail "the run folder $run has a path of more than 62 characters; set STRATA_LAB_RUN to a shorter one" 3
  require_able_to_run
  build helm pause versitygw dns kube

  began=${EPOCHREALTIME/./}
  # A lab that is started by a command inside another one does not belong to that other one.
  unset STRATA_LAB_INSIDE
  claim_folder
  write_settings
  if [[ $owner ]]; then
    detached "$run/log/watcher.log" "$here/lab" watch "$name" "$owner" "$owner_start"
  fi
  detached "$run/log/lab.log" unshare --net --mount --pid --fork --kill-child "$here/lab" inside "$name"
  launcher=$!
  printf '%s %s\n' "$launcher" "$(started_at "$launcher")" >"$run/launcher" || true

  local end=$((SECONDS + up_deadline))
  until [[ -e $run/ready ]]; do
    if ! kill -0 "$launcher" 2>/dev/null; then
      reason=$(cat "$run/failed" 2>/dev/null || last_words "$run/log/lab.log" || true)
      abandon "${reason:-it ended without a word}"
    fi
    ((SECONDS < end)) || abandon "gave up after $up_deadline s while $(cat "$run/phase" 2>/dev/null || echo "starting process 1")"
    sleep 0.05
  done
  printf 'up %s nodes=%s seconds=%s\n' "$name" "$nodes" "$(seconds_since "$began")"
}

seconds_since() {
  local taken=$((${EPOCHREALTIME/./} - $1))
  printf '%d.%02d\n' $((taken / 1000000)) $((taken % 1000000 / 10000))
}

# The folder is the claim to the name: making it succeeds for one caller only.
claim_folder() {
  mkdir -p "$runs" || fail "cannot create the run folder $runs; set STRATA_LAB_RUN to a folder that can be written"
  if [[ -d $run ]]; then
    if init >/dev/null; then fail "lab '$name' is running already; end it with: lab down $name"; fi
    if same_process "$run/starter" >/dev/null; then fail "lab '$name' is being started by another process"; fi
    say "clearing away what is left of an earlier lab '$name'"
    down
    mkdir -p "$runs"
  fi
  mkdir -m 755 "$run" || fail "lab '$name' is being started by another process"
  mkdir "$run/log"
  printf '%s %s\n' "$$" "$(started_at "$$")" >"$run/starter"
}

write_settings() {
  # Overlay file systems do not stack on overlay file systems, which is what a container's root often is.
  snapshotter=overlayfs
  if [[ $(stat --file-system --format %T "$run") == overlayfs ]]; then snapshotter=native; fi
  printf '%s=%q\n' nodes "$nodes" disks "$disks" disk_size "$disk_size" snapshotter "$snapshotter" bin "$bin" >"$run/settings"
}

# abandon REASON: ends what was started, and leaves the logs to be read.
abandon() {
  end_processes || true
  fail "lab '$name' did not start: $1; its logs stay in $run/log until: lab down $name"
}

# watch OWNER START: ends the lab when its owner has died. It ends itself when the lab is gone, or another has its name.
watch() {
  local own nothing
  own="$$ $(started_at "$$")"
  echo "$own" >"$run/watcher"
  # A pipe that never has anything to say: reading it with a limit is a wait without a process of its own.
  exec {nothing}<> <(:)
  while [[ $(started_at "$1") == "$2" ]]; do
    [[ $(cat "$run/watcher" 2>/dev/null) == "$own" ]] || return 0
    read -r -t 0.5 -u "$nothing" _ || true
  done
  if [[ $(cat "$run/watcher" 2>/dev/null) == "$own" ]]; then down; fi
}

end_processes() {
  local pid
  if pid=$(same_process "$run/watcher") && ((pid != $$)); then kill -KILL "$pid" 2>/dev/null || true; fi
  thaw_everything
  # Process 1 of the pid namespace: with it the kernel kills all others, and their mounts and networks go.
  if pid=$(init); then
    kill -KILL "$pid" 2>/dev/null || true
    await 30 "the processes of lab '$name' to end" not init || return 1
  fi
  if pid=$(same_process "$run/launcher"); then kill -KILL "$pid" 2>/dev/null || true; fi
  end_group
  end_visitors
  await 20 "the control groups of lab '$name' to empty" remove_groups
}

not() { ! "$@"; }

# Commands that "in" brought into the lab's network live outside of its pid namespace. Whoever called us is spared.
end_visitors() {
  local folder pid ancestors=" "
  pid=$$
  while ((pid > 1)); do
    ancestors+="$pid "
    pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status")
  done
  for folder in /proc/[0-9]*; do
    pid=${folder##*/}
    [[ $ancestors != *" $pid "* ]] || continue
    if grep --null-data --quiet --line-regexp --fixed-strings "STRATA_LAB_INSIDE=$run" "$folder/environ" 2>/dev/null; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done
}

# down: ends everything of the lab and removes it. Nothing there is nothing to do.
down() {
  [[ -d $run || $(groups_left) ]] || return 0
  end_processes || fail "lab '$name' could not be ended completely; its logs stay in $run/log"
  # Only names below the run folder, and never across a mount.
  rm -rf --one-file-system "$run" || fail "could not remove $run"
  rmdir "$runs" 2>/dev/null || true
}

# down_all: every lab below the run folder, but not those whose owner still lives.
down_all() {
  local folder status=0
  for folder in "$runs"/*/; do
    [[ -d $folder ]] || continue
    choose "$(basename "$folder")"
    if same_process "$run/watcher" >/dev/null; then
      say "leaving lab '$name' alone: the process that owns it lives"
      continue
    fi
    (down) && say "ended lab '$name'" || status=1
  done
  return "$status"
}

status() {
  local s3=''
  if ! process_one=$(init); then
    if [[ -e $run/failed ]]; then
      printf 'state=failed\nlog=%s\nreason=%s\n' "$run/log" "$(cat "$run/failed")"
    else
      echo "state=absent"
    fi
    return 4
  fi
  load_settings
  if [[ ! -e $run/ready ]]; then
    printf 'state=starting\nphase=%s\n' "$(cat "$run/phase")"
    return 4
  fi
  if s3_running; then s3=$(s3_endpoint); fi
  printf '%s=%s\n' state running nodes "$nodes" process "$process_one" network "/proc/$process_one/ns/net" \
    kubeconfig "$kubeconfig" api "$api_server" dns "$dns_address" s3 "$s3" bin "$bin" log "$run/log"
}
