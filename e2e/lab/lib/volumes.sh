# Local volumes, as on machines with NVMe: bound to their node, and with file ownership for pods that are not root
# (host-path volumes get none). Each disk is a folder, or with --disk-size a small file system that can fill up.
# shellcheck shell=bash

disk_folder() { echo "$run/$1/disks/$2"; } # NODE DISK

mount_disks() { # in the lab's mount namespace
  local node disk folder
  for node in "${node_names[@]}"; do
    for disk in $(seq 0 $((disks - 1))); do
      folder=$(disk_folder "$node" "$disk")
      mkdir -p "$folder"
      [[ $disk_size ]] || continue
      truncate --size "$disk_size" "$folder.img"
      mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$folder.img"
      # The loop device frees itself when the last mount namespace that shows it is gone.
      mount -o loop "$folder.img" "$folder"
      rmdir "$folder/lost+found"
    done
  done
}

volume_objects() {
  local node disk capacity=100Gi
  # Both tools mean powers of 1024, one writes 512M and the other 512Mi.
  if [[ $disk_size ]]; then capacity=${disk_size}i; fi
  cat <<OBJECT
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local-nvme, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
OBJECT
  for node in "${node_names[@]}"; do
    for disk in $(seq 0 $((disks - 1))); do
      cat <<OBJECT
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $node-disk-$disk}
spec:
  capacity: {storage: $capacity}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local-nvme
  local: {path: $(disk_folder "$node" "$disk")}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]}}
OBJECT
    done
  done
}

# From outside, a disk is seen through process 1: its file system may be mounted only there.
disk_seen() { echo "/proc/$process_one/root$(disk_folder "$1" "$2")"; } # NODE DISK

# users_of_disk NODE DISK: the processes of pods that have it mounted, by their pids outside.
users_of_disk() {
  local pid place disk
  disk=$(disk_seen "$1" "$2")
  for pid in $(processes_below "$(freezer_tree)/$group/$1/kubepods"); do
    while read -r _ _ _ _ place _; do
      if [[ /proc/$pid/root$place -ef $disk ]]; then
        echo "$pid"
        break
      fi
    done 2>/dev/null <"/proc/$pid/mountinfo" || true
  done
}

# empty_disk NODE DISK: as if the device were exchanged under a running process. Its users are stopped first, so that
# none writes in between, and killed last, so that what starts again finds nothing.
empty_disk() {
  local disk users='' attempt
  disk=$(disk_seen "$1" "$2")
  [[ -d $disk ]] || fail "$1 of lab '$name' has no disk '$2'; its disks are 0 to $((disks - 1))" 2
  for attempt in 1 2 3 4 5; do
    users="$users $(users_of_disk "$1" "$2")"
    # shellcheck disable=SC2086
    kill -STOP $users 2>/dev/null || true
    # A process that started meanwhile may have removed files itself: then it is stopped, too, and the rest follows.
    find "$disk" -mindepth 1 -delete 2>/dev/null && break
    ((attempt < 5)) || fail "could not empty disk $2 of $1"
  done
  # shellcheck disable=SC2086
  kill -KILL $users 2>/dev/null || true
}

wipe_volumes() {
  local node disk
  for node in "${node_names[@]}"; do
    for disk in $(seq 0 $((disks - 1))); do empty_disk "$node" "$disk"; done
  done
  recycle
}

# recycle: volumes whose claim is gone become available again, empty and owned by root as on the first day.
recycle() {
  local volume phase disk node
  while read -r volume phase; do
    [[ $phase == Released || $phase == Failed ]] || continue
    [[ $volume =~ ^(node-[0-9]+)-disk-([0-9]+)$ ]] || continue
    node=${BASH_REMATCH[1]} disk=${BASH_REMATCH[2]}
    empty_disk "$node" "$disk"
    chown root:root "$(disk_seen "$node" "$disk")"
    chmod 755 "$(disk_seen "$node" "$disk")"
    kube patch persistentvolume "$volume" --type merge --patch '{"spec":{"claimRef":null}}' >/dev/null ||
      fail "could not release volume $volume of lab '$name'"
    await 20 "volume $volume to become Available" volume_available "$volume" || exit 1
    printf '%s\n' "$volume"
  done < <(kube get persistentvolumes --no-headers --output custom-columns=:metadata.name,:status.phase)
}

volume_available() { [[ $(kube get persistentvolume "$1" --output jsonpath='{.status.phase}') == Available ]]; }
