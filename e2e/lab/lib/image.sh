# Images without a daemon and without a registry.
# shellcheck shell=bash

# build_archive NAME:TAG CONTEXT OUT [BUILD ARGUMENTS…]: builds CONTEXT/Containerfile into an OCI archive.
build_archive() {
  local tag=$1 context=$2 out=$3 storage status=0
  shift 3
  storage=$(mktemp -d "${TMPDIR:-/tmp}/strata-lab-image.XXXXXX")
  # A store of its own, thrown away afterwards: plain copies of layers grow for ever otherwise, and another build
  # must not wait for its lock.
  local buildah=(timeout 600 buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run")
  rm -f "$out"
  {
    "${buildah[@]}" bud --quiet --isolation chroot --tag "$tag" --file "$context/Containerfile" "$@" "$context" &&
      "${buildah[@]}" push --quiet "$tag" "oci-archive:$out:$tag"
  } >&2 || status=$?
  rm -rf "$storage"
  return "$status"
}

# image NAME:TAG --binary PATH… --out TAR: the image of these programs, as the Containerfile beside this file makes it
# from prebuilt binaries, on a base that holds nothing but the libraries they need.
image() {
  local tag=${1:-} out='' binaries=()
  [[ $tag =~ ^[a-z0-9./_-]+:[A-Za-z0-9._-]+$ ]] || misuse "image needs a NAME:TAG first, not '$tag'"
  shift
  while (($#)); do
    case $1 in
      --binary) binaries+=("${2:?--binary needs a path}") && shift 2 ;;
      --out) out=${2:?--out needs a path} && shift 2 ;;
      *) misuse "image does not know '$1'" ;;
    esac
  done
  ((${#binaries[@]})) || misuse "image needs at least one --binary PATH"
  [[ $out ]] || misuse "image needs --out TAR"
  local tool
  for tool in buildah ldd; do
    command -v "$tool" >/dev/null || fail "image needs the program $tool" 3
  done

  local context log
  mkdir -p "$(dirname "$out")"
  context=$(mktemp -d "${TMPDIR:-/tmp}/strata-lab-context.XXXXXX")
  log=$out.log
  # shellcheck disable=SC2064
  trap "rm -rf '$context'" EXIT
  cp "$here/Containerfile" "$context/"
  fill_root "$context/prebuilt" "${binaries[@]}"
  build_archive "$tag" "$context" "$out" --build-arg BINARIES=prebuilt --build-arg BASE=scratch >"$log" 2>&1 ||
    fail "could not build the image $tag: $(grep -v '^$' "$log" | tail -n 1 | cut -c1-200); the whole story is in $log"
  rm -f "$log"
  printf '%s\n' "$out"
}

# fill_root FOLDER BINARY…: a root file system for the binaries: them, what they link to, certificates, and a user.
fill_root() {
  local root=$1 binary library
  shift
  mkdir -p "$root"/{etc/ssl/certs,usr/local/bin,tmp}
  chmod 1777 "$root/tmp"
  for binary in "$@"; do
    [[ -x $binary && -f $binary ]] || fail "there is no executable file $binary to put into an image"
    install -m 755 "$binary" "$root/usr/local/bin/"
    # ldd prints "name => path (address)", and for the loader only "path (address)"; a static program has neither.
    if ldd "$binary" 2>/dev/null | grep -q 'not found'; then
      fail "$binary links to a library that this machine does not have: $(ldd "$binary" | grep -m 1 'not found' | xargs)"
    fi
    while read -r library; do
      mkdir -p "$root$(dirname "$library")"
      # By content, not by link: a library's short name and its versioned file become one file here.
      [[ -e $root$library ]] || cp --dereference "$library" "$root$library"
    done < <(ldd "$binary" 2>/dev/null | grep -oE '/[^ ]+ \(0x' | cut -d' ' -f1)
  done
  [[ ! -r /etc/ssl/certs/ca-certificates.crt ]] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0::/:\nstrata:x:65532:65532::/:\n' >"$root/etc/passwd"
  printf 'root:x:0:\nstrata:x:65532:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
}

# load NAME TAR…: puts images onto every node.
load() {
  local tar node log failed=()
  (($#)) || misuse "load needs at least one image archive"
  for tar in "$@"; do
    [[ -r $tar ]] || fail "there is no image archive $tar"
  done
  for tar in "$@"; do
    log=$run/log/load.$(basename "$tar")
    local jobs=()
    for node in "${node_names[@]}"; do
      timeout 300 ctr --address "$run/$node/containerd.sock" --namespace k8s.io images import \
        --snapshotter "$snapshotter" "$tar" >"$log.$node.log" 2>&1 &
      jobs+=("$!")
    done
    for node in "${node_names[@]}"; do
      wait "${jobs[0]}" || failed+=("$node")
      jobs=("${jobs[@]:1}")
    done
    ((${#failed[@]} == 0)) ||
      fail "could not load $tar on ${failed[*]}: $(tail -n 1 "$log.${failed[0]}.log" | cut -c1-200); see $log.*.log"
  done
}

