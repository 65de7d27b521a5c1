# What runs as process 1 of the lab's own pid, mount and network namespaces: it lays the network, starts the control
# plane and the nodes, and then keeps them running. When it ends, the kernel ends everything in here with it.
#
#             the lab's network: control plane, DNS 10.100.0.53, S3 10.100.0.9, services by kube-proxy
#                 │ 10.100.1.1              │ 10.100.2.1              │ 10.100.3.1
#       node-1 10.100.1.2          node-2 10.100.2.2         node-3 10.100.3.2     a network namespace each
#        pods 10.244.1.0/24         pods 10.244.2.0/24        pods 10.244.3.0/24
#
# Every path between nodes leads through the middle. So one kube-proxy serves all, and a node is cut off in one place.
# shellcheck shell=bash

api_address=10.100.0.1
dns_address=10.100.0.53
s3_address=10.100.0.9
api_server=https://$api_address:6443

# phase SENTENCE: what "up" says if the deadline comes while this is going on.
phase() {
  printf '%s\n' "$1" >"$run/phase"
  printf '%(%T)T %s\n' -1 "$1"
}

broken() {
  printf '%s\n' "$1" >"$run/failed"
  exit 1
}

inside() {
  load_settings
  cd "$run" || exit 1
  # The host's /proc is still mounted here, so this is the pid by which the outside knows us. Written before anything
  # else happens: whatever becomes of the caller, "down" finds this process.
  local pid
  read -r pid _ </proc/self/stat
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >init
  trap 'broken "the lab failed while $(cat "$run/phase"), at line $LINENO of inside.sh; see $run/log/lab.log"' ERR
  set -E

  phase "making its own view of the file system"
  own_file_system
  phase "laying the network"
  lay_network
  phase "writing certificates and settings"
  write_certificates
  write_control_plane_files
  make_groups "${node_names[@]}" || broken "cannot make control groups under $cgroups; the lab needs them writable"
  has_controllers node-1 || broken "the control groups under $cgroups do not hand down cpu, memory and pids, which a kubelet needs"
  local node
  for node in "${node_names[@]}"; do write_node_files "$node"; done

  phase "waiting for the API server to answer"
  launch etcd
  launch kube-apiserver
  for node in "${node_names[@]}"; do launch "$node.containerd"; done
  for node in "${node_names[@]}"; do import_pause "$node" & done
  bring_up 90 "the API server to answer" api_answers
  phase "waiting for nodes to be Ready"
  launch kube-controller-manager
  launch kube-scheduler
  for node in "${node_names[@]}"; do launch "$node.kubelet"; done
  launch kube-proxy
  launch coredns
  create_volumes &
  bring_up 90 "nodes to be Ready" nodes_ready
  phase "waiting for volumes, DNS and the default service account"
  bring_up 60 "volumes to be created" test -e volumes
  bring_up 30 "DNS to answer" curl --silent --fail "http://$dns_address:8181/ready"
  bring_up 30 "the default service account" ask_api /api/v1/namespaces/default/serviceaccounts/default
  bring_up 30 "the certificate for pods" ask_api /api/v1/namespaces/default/configmaps/kube-root-ca.crt
  phase "running"
  touch ready
  trap - ERR
  keep_running
}

# Nothing that components write to well-known places may reach the host, or the next lab.
own_file_system() {
  mount -t proc proc /proc
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/lock /run/over
  local place target key
  for place in /var/lib /var/log; do
    mkdir -p "/run/over$place"/{upper,work}
    mount -t overlay -o "lowerdir=$place,upperdir=/run/over$place/upper,workdir=/run/over$place/work" overlay "$place"
  done

  printf 'nameserver %s\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n' \
    "$dns_address" >resolv.conf
  # It may be a link into the /run that was just covered.
  target=$(readlink --canonicalize-missing /etc/resolv.conf)
  if [[ $target == /run/* ]]; then mkdir -p "$(dirname "$target")" && touch "$target"; fi
  mount --bind resolv.conf "$target"

  # A kubelet sets these for the whole machine if they differ. Here it finds them set.
  mkdir -p sysctl
  while IFS='=' read -r key target; do
    printf '%s\n' "$target" >"sysctl/${key//\//.}"
    mount --bind "sysctl/${key//\//.}" "/proc/sys/$key"
  done <<'SETTINGS'
vm/overcommit_memory=1
vm/panic_on_oom=0
kernel/panic=10
kernel/panic_on_oops=1
kernel/keys/root_maxkeys=1000000
kernel/keys/root_maxbytes=25000000
SETTINGS

  mount_disks
}

lay_network() {
  local number node address
  ip link set lo up
  for address in "$api_address" "$dns_address" "$s3_address"; do ip address add "$address/32" dev lo; done
  sysctl -qw net.ipv4.ip_forward=1
  for node in "${node_names[@]}"; do
    number=${node#node-}
    ip netns add "$node"
    ip link add "$node" type veth peer name eth0 netns "$node"
    ip address add "10.100.$number.1/24" dev "$node"
    ip link set "$node" up
    # Not "ip netns exec": that mounts a /sys of its own, without the control groups.
    on_node "$node" ip link set lo up
    on_node "$node" ip address add "10.100.$number.2/24" dev eth0
    on_node "$node" ip link set eth0 up
    on_node "$node" ip route add default via "10.100.$number.1"
    on_node "$node" sysctl -qw net.ipv4.ip_forward=1
    ip route add "10.244.$number.0/24" via "10.100.$number.2"
    # A pod that reaches a pod of its own node through a service: the answer would go back directly, past the
    # translation that was done here. Everybody else keeps the client's address.
    iptables --wait -t nat -A POSTROUTING -s "10.244.$number.0/24" -d "10.244.$number.0/24" -j MASQUERADE
    iptables --wait -t nat -A POSTROUTING -s "10.100.$number.2" -d "10.244.$number.0/24" -j MASQUERADE
  done
  # There is no way out, and whoever tries one is told at once instead of waiting. Addresses of services are on no
  # interface: who connects from here needs a route to begin with, before kube-proxy's rules choose a pod.
  ip route add unreachable default
  ip route add 10.96.0.0/16 dev lo src 10.100.0.1
}

on_node() {
  local node=$1
  shift
  nsenter --net="/run/netns/$node" "$@"
}

write_certificates() {
  local curve=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365)
  mkdir -p pki
  chmod 700 pki
  cat >pki/openssl.conf <<CONFIG
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, digitalSignature
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:$api_address, IP:10.96.0.1, IP:127.0.0.1, DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local
CONFIG
  openssl req -x509 -config pki/openssl.conf -extensions authority "${curve[@]}" -subj "/CN=strata-lab" \
    -keyout pki/ca.key -out pki/ca.crt
  openssl req -x509 -config pki/openssl.conf -extensions server "${curve[@]}" -subj "/CN=kube-apiserver" \
    -CA pki/ca.crt -CAkey pki/ca.key -keyout pki/server.key -out pki/server.crt
  openssl ecparam -name prime256v1 -genkey -noout -out pki/accounts.key
  openssl ec -in pki/accounts.key -pubout -out pki/accounts.pub
  # Tokens instead of client certificates: one line each, and every client library takes them.
  local token node
  token=$(openssl rand -hex 16)
  printf '%s,admin,admin,"system:masters"\n' "$token" >pki/tokens.csv
  printf '%s' "$token" >pki/admin.token
  write_kubeconfig "$token" kubeconfig
  for node in "${node_names[@]}"; do
    token=$(openssl rand -hex 16)
    printf '%s,system:node:%s,%s,"system:nodes"\n' "$token" "$node" "$node" >>pki/tokens.csv
    mkdir -p "$node"
    write_kubeconfig "$token" "$node/kubeconfig"
  done
} 2>>log/openssl.log

write_kubeconfig() { # TOKEN FILE
  (umask 077 && cat >"$2") <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "$api_server", certificate-authority-data: $(base64 -w 0 pki/ca.crt)}}]
users: [{name: lab, user: {token: $1}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
CONFIG
}

write_control_plane_files() {
  cat >proxy.yaml <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $kubeconfig}
mode: iptables
# A failed-over service should be followed at once, and there are few of them.
iptables: {minSyncPeriod: 100ms}
detectLocalMode: ClusterCIDR
clusterCIDR: 10.244.0.0/16
hostnameOverride: node-1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
# The size of the connection table belongs to the host.
conntrack: {maxPerCore: 0, min: 0}
CONFIG
  cat >Corefile <<CONFIG
.:53 {
  bind $dns_address
  ready $dns_address:8181
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $kubeconfig lab
    pods insecure
    ttl 1
  }
}
CONFIG
}

# component NAME: becomes that component. Called in a child whose output goes to the component's log.
component() {
  local node=${1%%.*}
  case $1 in
    etcd)
      # No fsync: this etcd need not outlive the machine, and a disk shared with a benchmark should not slow it.
      exec "$bin/etcd" --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
      ;;
    kube-apiserver)
      # Half of the start is this one's, and a quarter of that is collecting garbage while its memory grows.
      export GOGC=400 GOMEMLIMIT=400MiB
      exec "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --advertise-address "$api_address" \
        --secure-port 6443 --tls-cert-file pki/server.crt --tls-private-key-file pki/server.key \
        --service-cluster-ip-range 10.96.0.0/16 --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file pki/accounts.pub --service-account-signing-key-file pki/accounts.key \
        --token-auth-file pki/tokens.csv --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction --allow-privileged=true \
        --kubelet-preferred-address-types InternalIP --profiling=false
      ;;
    kube-controller-manager)
      # A node that stopped reporting is NotReady after 16 s: short enough for tests, long enough for a busy machine.
      exec "$bin/kube-controller-manager" --kubeconfig kubeconfig --leader-elect=false --bind-address 127.0.0.1 \
        --root-ca-file pki/ca.crt --service-account-private-key-file pki/accounts.key \
        --node-monitor-period 2s --node-monitor-grace-period 16s --pvclaimbinder-sync-period 2s \
        --kube-api-qps 200 --kube-api-burst 400 --profiling=false
      ;;
    kube-scheduler)
      exec "$bin/kube-scheduler" --kubeconfig kubeconfig --leader-elect=false --bind-address 127.0.0.1 --profiling=false
      ;;
    kube-proxy) exec "$bin/kube-proxy" --config proxy.yaml ;;
    coredns) exec "$bin/coredns" -conf Corefile ;;
    node-*.containerd)
      join_system_group "$node"
      exec nsenter --net="/run/netns/$node" containerd --config "$run/$node/containerd.toml"
      ;;
    node-*.kubelet)
      join_system_group "$node"
      exec nsenter --net="/run/netns/$node" "$bin/kubelet" --config "$run/$node/kubelet.yaml" \
        --kubeconfig "$run/$node/kubeconfig" --hostname-override "$node" --node-ip "10.100.${node#node-}.2" \
        --root-dir "$run/$node/kubelet" --cert-dir "$run/$node/pki" \
        --node-labels "topology.kubernetes.io/zone=$(zone_of "$node")"
      ;;
    *) broken "there is no component $1" ;;
  esac
}

# The zones are called a, b, c and so on, as in the examples.
zone_of() { # NODE
  local letters=abcdefghi
  echo "${letters:${1#node-}-1:1}"
}

declare -A running=()

# launch COMPONENT: starts it in the background; its pid, as this namespace counts, is for "kill".
launch() {
  mkdir -p log pid held
  (
    trap - ERR
    component "$1"
  ) >>"log/$1.log" 2>&1 </dev/null &
  running[$1]=$!
  echo "$!" >"pid/$1"
}

# As a service manager would: what died is started again a second later, but for what "hold" keeps down.
keep_running() {
  local component_name
  while sleep 1; do
    for component_name in "${!running[@]}"; do
      [[ ! -e held/$component_name ]] || continue
      if ! kill -0 "${running[$component_name]}" 2>/dev/null; then
        echo "$component_name ended and is started again"
        launch "$component_name"
      fi
    done
  done
}

# bring_up SECONDS WHAT COMMAND…: await for the time in which nothing may die.
bring_up() {
  local limit=$1 what=$2 end=$((SECONDS + $1)) component_name
  shift 2
  until "$@" >/dev/null 2>&1; do
    for component_name in "${!running[@]}"; do
      kill -0 "${running[$component_name]}" 2>/dev/null ||
        broken "$component_name ended while the lab waited for $what: $(last_words "log/$component_name.log"); see $run/log/$component_name.log"
    done
    ((SECONDS < end)) || broken "gave up after $limit s waiting for $what"
    sleep 0.1
  done
}

# While everything starts at once, processors are short, and kubectl takes as much of one as a component does. So what
# is asked again and again is asked by curl.
ask_api() { curl --silent --fail --max-time 5 --user-agent lab --cacert pki/ca.crt --oauth2-bearer "$(<pki/admin.token)" "$api_server$1"; }

api_answers() { [[ $(ask_api /readyz) == ok ]]; }

nodes_ready() { [[ $(ask_api /api/v1/nodes | grep -o '"type":"Ready","status":"True"' | wc -l) == "$nodes" ]]; }

create_volumes() {
  trap - ERR
  volume_objects | KUBECACHEDIR=$run/tools/kube timeout 60 "$bin/kubectl" --kubeconfig "$kubeconfig" create --validate=false \
    --filename - && touch volumes
} >log/volumes.log 2>&1

import_pause() { # NODE
  trap - ERR
  await 60 "containerd of $1" timeout 20 ctr --address "$run/$1/containerd.sock" --namespace k8s.io \
    images import --snapshotter "$snapshotter" "$bin/pause.tar"
} >>"log/pause.log" 2>&1
