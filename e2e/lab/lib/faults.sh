# Faults, each made from outside of what it befalls.
# shellcheck shell=bash

# cut NODE [OTHER]: no packet between the node and the rest (or only the other node) gets through, in either
# direction, and nobody is told. What runs within the node still reaches itself.
cut_off() {
  heal "$@"
  if (($# > 1)); then
    filter --append FORWARD --in-interface "$1" --out-interface "$2" --jump DROP
    filter --append FORWARD --in-interface "$2" --out-interface "$1" --jump DROP
  else
    filter --append PREROUTING --in-interface "$1" --jump DROP
    filter --append POSTROUTING --out-interface "$1" --jump DROP
  fi
}

# heal NODE [OTHER]: removes every cut that names the node (or only those between the two).
heal() {
  local rule words
  while read -r rule; do
    [[ " $rule " == *" $1 "* && " $rule " == *" ${2:-$1} "* && $rule == "-A "*"-j DROP" ]] || continue
    read -ra words <<<"${rule/#-A /-D }"
    filter "${words[@]}"
  done < <(filter --list-rules)
}

# The mangle table, because it sees packets before and after every other decision, and kube-proxy leaves it alone.
filter() { nsenter --target "$process_one" --net --mount timeout 20 iptables --wait --table mangle "$@"; }

# kill_all TARGET…: SIGKILL for all of them at once. A target is a component (etcd, kube-apiserver, node-1.kubelet,
# node-2.containerd, s3 and so on: the names of the files in the pid folder), or a pod as NAMESPACE/POD or POD, whose
# containers die while its sandbox lives.
kill_all() {
  local target found=() components=() pids=()
  (($#)) || misuse "kill needs at least one pod or component"
  for target in "$@"; do
    if [[ -e $run/pid/$target ]]; then
      components+=("$(cat "$run/pid/$target")")
    else
      mapfile -t found < <(processes_of_pod "$target")
      ((${#found[@]})) || fail "lab '$name' has no component and no pod with a running container named '$target'"
      pids+=("${found[@]}")
    fi
  done
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}"
  # Components are known by the pids of their own namespace.
  ((${#components[@]} == 0)) || nsenter --target "$process_one" --pid --mount kill -KILL "${components[@]}"
}

# hold COMPONENT…: SIGKILL, after which the lab leaves them dead until "release". What is down already stays down.
hold() {
  local component
  require_components hold "$@"
  for component in "$@"; do touch "$run/held/$component"; done
  for component in "$@"; do
    nsenter --target "$process_one" --pid --mount kill -KILL "$(cat "$run/pid/$component")" 2>/dev/null || true
  done
}

release() {
  local component
  require_components release "$@"
  for component in "$@"; do rm -f "$run/held/$component"; done
}

require_components() { # VERB COMPONENT…
  local verb=$1 component
  shift
  (($#)) || misuse "$verb needs at least one component"
  for component in "$@"; do
    # The S3 server is started by its own verb, and by nobody again.
    [[ $component =~ ^[a-z0-9.-]+$ && $component != s3 && -e $run/pid/$component ]] || fail "lab '$name' keeps no component '$component' running"
  done
}

# processes_of_pod [NAMESPACE/]POD: by their pids outside, those of its sandbox left out. Which containers there are, the
# node itself says: what the API server knows of them may be older, as while the node is cut off.
processes_of_pod() {
  local namespace=default pod=$1 node uid process
  if [[ $pod == */* ]]; then namespace=${pod%%/*} pod=${pod#*/}; fi
  read -r node uid < <(kube get pod --namespace "$namespace" "$pod" --output \
    jsonpath='{.spec.nodeName} {.metadata.uid}{"\n"}' 2>/dev/null) || return 0
  [[ $uid ]] || return 0
  find "$(freezer_tree)/$group/$node/kubepods" -path "*/pod$uid/*" -name cgroup.procs -exec cat {} + 2>/dev/null |
    while read -r process; do
      [[ $(cat "/proc/$process/comm" 2>/dev/null) == pause ]] || echo "$process"
    done
}
