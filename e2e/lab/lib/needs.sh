# What the lab needs from the machine, each in a sentence that says what to do.
# shellcheck shell=bash

# program:package, as Debian names it.
programs_to_run=(containerd:containerd ctr:containerd containerd-shim-runc-v2:containerd runc:runc iptables:iptables
  ip:iproute2 sysctl:procps unshare:util-linux nsenter:util-linux setsid:util-linux
  mkfs.ext4:e2fsprogs openssl:openssl curl:curl)
programs_to_build=(cc:gcc python3:python3 flock:util-linux buildah:buildah ldd:libc-bin)

lacking_programs() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null ||
      echo "The program ${pair%%:*} is missing; it is in the Debian package ${pair##*:}."
  done
}

lacking_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || version=none
  [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)) ||
    echo "Go 1.21 or newer is missing (found: $version); such a Go fetches the version that our modules name by itself."
}

lacking_to_run() {
  lacking_programs "${programs_to_run[@]}"
  network_plugins >/dev/null ||
    echo "The network plugins bridge, host-local, loopback and portmap are missing; they are in the Debian package containernetworking-plugins."
  if ((EUID != 0)); then
    echo "The lab must run as root: it makes namespaces, mounts and control groups."
  elif ! timeout 20 unshare --net --mount --pid --fork --mount-proc true 2>/dev/null; then
    echo "The kernel refuses new network, mount or pid namespaces to this root (a container without privileges?)."
  elif ! { mkdir "$(freezer_tree)/strata-lab-probe-$$" && rmdir "$(freezer_tree)/strata-lab-probe-$$"; } 2>/dev/null; then
    echo "The control groups under $cgroups cannot be written, or there is no freezer among them."
  fi
  case $runs/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/*)
      echo "The run folder $runs is below a folder that the lab covers with one of its own; set STRATA_LAB_RUN to another." ;;
  esac
}

lacking_to_build() {
  lacking_go
  lacking_programs "${programs_to_build[@]}"
  if command -v python3 >/dev/null && ! python3 -m pip --version >/dev/null 2>&1; then
    echo "Python's pip is missing; it is in the Debian package python3-pip."
  fi
}

# deps: everything that is missing; nothing printed and 0 if nothing is.
deps() {
  local missing
  missing=$(
    lacking_to_run
    lacking_to_build
  )
  [[ -z $missing ]] && return 0
  printf '%s\n' "$missing"
  return 3
}

require_able_to_run() {
  local missing
  missing=$(lacking_to_run)
  [[ -z $missing ]] || fail "this machine cannot run a lab: $(head -n 1 <<<"$missing") (all that is missing: lab deps)" 3
}

require_tools_to_build() { # PIECE…
  local missing wanted=()
  case " $* " in *" pause "*) wanted+=(cc:gcc buildah:buildah) ;; esac
  case " $* " in *" helm "*) wanted+=(python3:python3) ;; esac
  missing=$(
    case " $* " in *" kube "* | *" dns "* | *" versitygw "*) lacking_go ;; esac
    lacking_programs flock:util-linux "${wanted[@]}"
  )
  [[ -z $missing ]] || fail "cannot build the lab: $(head -n 1 <<<"$missing") (all that is missing: lab deps)" 3
}
