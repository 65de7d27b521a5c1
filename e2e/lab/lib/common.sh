# Saying, failing, waiting, and where things are. Every other file of the lab uses these words.
# shellcheck shell=bash

# Results go to stdout, where a program may read them; everything that is said to people goes to stderr.
say() { printf 'lab: %s\n' "$*" >&2; }

# fail SENTENCE [CODE]: 1 it did not work, 2 it was called wrongly, 3 this machine cannot do it, 4 there is no such lab.
fail() {
  say "$1"
  exit "${2:-1}"
}

misuse() { fail "$1 (see: lab help)" 2; }

# await SECONDS WHAT COMMAND…: runs COMMAND until it succeeds; after SECONDS it says what it waited for, and gives up.
await() {
  local limit=$1 what=$2 end=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      say "gave up after ${limit} s waiting for $what"
      return 1
    fi
    sleep 0.1
  done
}

cache=${STRATA_CACHE:-${HOME:-/root}/.cache/strata}
runs=${STRATA_LAB_RUN:-${TMPDIR:-/tmp}/strata-lab}

# The cache folder is named by the content of what goes into it, so that two checkouts share it if they agree, and do
# not disturb each other if they differ.
inputs_hash() {
  (
    cd "$here" || exit 1
    find versions.sh kube dns pause lib/recipes.sh -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -c1-16
}

built=$cache/lab-$(inputs_hash)
bin=$built/bin

# choose NAME: sets what every verb about one lab needs.
choose() {
  name=${1:-}
  [[ $name =~ ^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$ ]] ||
    misuse "a lab's name is 1 to 32 lower-case letters, digits and dashes, not '$name'"
  run=$runs/$name
  # The folder is part of the name of the control groups, so that two users of one machine may both say "demo".
  group=strata-lab-$name-$(printf %s "$run" | sha256sum | cut -c1-8)
  kubeconfig=$run/kubeconfig
}

# started_at PID: a process's start in clock ticks since boot; with the pid it names one process for ever.
started_at() {
  local line
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The command name in parentheses may contain anything, so fields are counted from behind it.
  local fields
  read -ra fields <<<"${line##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  printf '%s\n' "${fields[19]}"
}

# same_process FILE: FILE holds "pid start"; prints the pid if that very process still lives.
same_process() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [[ $(started_at "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

# The lab's process 1, as this side of its pid namespace sees it.
init() { same_process "$run/init"; }

require_running() {
  process_one=$(init) || fail "there is no running lab '$name' under $runs; start it with: lab up $name" 4
}

# Settings that "up" was called with, and that later verbs need again.
load_settings() {
  # shellcheck source=/dev/null
  source "$run/settings"
  local number
  node_names=()
  for ((number = 1; number <= nodes; number++)); do node_names+=("node-$number"); done
}

# require_node NODE: refuses what is not one of this lab's nodes.
require_node() {
  [[ -d $run/$1 && $1 == node-* ]] || fail "lab '$name' has no node '$1'; its nodes are node-1 to node-$nodes" 2
}

# Commands in the lab's network, with its name service, and otherwise in the host's own world: its files, its processes.
# The mark is how "down" finds what was left running here.
entering() {
  # shellcheck disable=SC2016
  entrance=(nsenter "--net=/proc/$process_one/ns/net" unshare --mount bash -c
    'mount --bind "$1" "$(readlink --canonicalize-missing /etc/resolv.conf)" 2>/dev/null; shift; exec "$@"'
    in "$run/resolv.conf" env "STRATA_LAB_INSIDE=$run" KUBECONFIG="$kubeconfig" KUBECACHEDIR="$run/tools/kube"
    HELM_CACHE_HOME="$run/tools/helm/cache" HELM_CONFIG_HOME="$run/tools/helm/config"
    HELM_DATA_HOME="$run/tools/helm/data" PATH="$bin:$PATH")
}

enter() {
  entering
  "${entrance[@]}" "$@"
}

# kube ARGUMENTS…: kubectl with a deadline, for the lab's own use.
kube() { enter timeout 30 kubectl "$@" </dev/null; }

# detached LOG COMMAND…: starts what outlives us, with no file of ours or of our caller's: a lock or a pipe that it kept
# open would never be released. The caller finds its pid in $!.
detached() {
  local log=$1
  shift
  (
    local file
    for file in /proc/self/fd/*; do
      file=${file##*/}
      # From 255 bash reads this program; it closes that itself.
      if ((file > 2 && file < 255)); then exec {file}>&-; fi
    done
    exec setsid "$@"
  ) >>"$log" 2>&1 </dev/null &
}

last_words() { grep -v '^$' "$1" | tail -n 1 | cut -c1-200; }
