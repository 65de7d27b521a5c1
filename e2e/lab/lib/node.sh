# The files of one node: its containerd, its pod network, its kubelet.
# shellcheck shell=bash

write_node_files() { # NODE
  local node=$1 number=${1#node-} folder=$run/$1
  mkdir -p "$folder"/{cni,pki,podlogs,plugins}
  cat >"$folder/containerd.toml" <<CONFIG
version = 2
root = "$folder/containerd/root"
state = "$folder/containerd/state"
# The first makes a folder under /opt, the others only say that this machine cannot do what they are for.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$folder/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "lab.local/pause:1"
  disable_apparmor = true
  # Where root lacks CAP_SYS_RESOURCE, lowering the score fails, and every pod dies before its first instruction
  # ("can't get final child's PID from pipe").
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(network_plugins)"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
CONFIG
  cat >"$folder/cni/10-lab.conflist" <<CONFIG
{"cniVersion": "1.0.0", "name": "lab-$number", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$folder/addresses",
            "ranges": [[{"subnet": "10.244.$number.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIG
  cat >"$folder/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Open, because only this lab's network leads to it; the API server needs no certificate for logs and exec.
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: 10.100.$number.2
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
containerRuntimeEndpoint: unix://$folder/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$group/$node
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
clusterDomain: cluster.local
clusterDNS: [$dns_address]
resolvConf: $run/resolv.conf
podLogsDir: $folder/podlogs
volumePluginDir: $folder/plugins
# The lab's disk is the machine's: a full one is not this node's fault, and images come from no registry.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8
# A changed Secret reaches its pods at the next sync: within a minute and a half by default.
syncFrequency: 10s
# Tests kill one pod thirty times, and the usual pause between restarts grows to five minutes.
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
CONFIG
}

network_plugins() {
  local folder
  for folder in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    if [[ -x $folder/bridge && -x $folder/host-local && -x $folder/loopback && -x $folder/portmap ]]; then
      echo "$folder"
      return
    fi
  done
  return 1
}
