# Building what the lab runs, once, into a cache folder. Each piece appears by a rename when it is whole, so an
# interrupted build goes on where it stopped (Go's own cache keeps the packages that were already compiled).
# shellcheck shell=bash

pieces=(helm pause versitygw dns kube)

# The build of a machine with other work to do takes long, but not for ever.
build_deadline=${STRATA_LAB_BUILD_DEADLINE:-3600}

build() {
  local wanted=("$@") piece missing=()
  ((${#wanted[@]})) || wanted=("${pieces[@]}")
  for piece in "${wanted[@]}"; do
    [[ " ${pieces[*]} " == *" $piece "* ]] || misuse "'$piece' is not a piece of the lab; they are: ${pieces[*]}"
    [[ -e $built/$piece.done ]] || missing+=("$piece")
  done
  ((${#missing[@]})) || return 0
  require_tools_to_build "${missing[@]}"
  mkdir -p "$bin" || fail "cannot create the cache folder $bin; set STRATA_CACHE to a folder that can be written"

  local lock
  exec {lock}>"$built/lock"
  if ! flock --nonblock "$lock"; then
    say "another build into $built is running; waiting for it, at most $build_deadline s"
    flock --timeout "$build_deadline" "$lock" ||
      fail "gave up after $build_deadline s waiting for another build to release $built/lock"
  fi
  for piece in "${missing[@]}"; do
    # Another build may have made it while we waited.
    [[ -e $built/$piece.done ]] || build_piece "$piece"
  done
  exec {lock}>&-
}

build_piece() {
  local piece=$1 began=$SECONDS log=$built/$1.log work=$built/$1.work builder pulse status=0
  rm -rf "$work" && mkdir -p "$work"
  # The lock is closed in the children: a compiler that outlives us must not keep it.
  (make_"$piece" "$work") >"$log" 2>&1 {lock}>&- </dev/null &
  builder=$!
  (report "$piece" "$log" "$builder") {lock}>&- &
  pulse=$!
  # shellcheck disable=SC2064
  trap "kill $builder $pulse 2>/dev/null || true" EXIT
  wait "$builder" || status=$?
  kill "$pulse" 2>/dev/null || true
  wait "$pulse" 2>/dev/null || true
  trap - EXIT
  ((status == 0)) ||
    fail "could not build $piece: $(grep -v '^$' "$log" | tail -n 1 | cut -c1-200); the whole story is in $log"
  rm -rf "$work"
  touch "$built/$piece.done"
  say "built $piece in $((SECONDS - began)) s"
}

# What to expect, from two cores with nothing else to do.
declare -A expected=([helm]="some seconds" [pause]="a second" [versitygw]="a minute" [dns]="two minutes" [kube]="seven minutes")

# A sign of life every twenty seconds, with the number of packages that the compiler has named so far.
report() {
  local piece=$1 log=$2 builder=$3 began=$SECONDS nothing
  say "building $piece (expect ${expected[$piece]} on two idle cores)"
  # A pipe that never has anything to say: a wait without a process of its own, which would outlive us.
  exec {nothing}<> <(:)
  while
    read -r -t 20 -u "$nothing" _ || true
    kill -0 "$builder" 2>/dev/null
  do
    say "building $piece: $((SECONDS - began)) s, $(grep -cvE '^go: |^#|^$' "$log" || true) packages compiled in this run; see $log"
  done
}
