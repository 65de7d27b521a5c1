# Control groups, in both versions. Version 1 has one tree per controller under /sys/fs/cgroup, version 2 one for all.
#
#   strata-lab-NAME-HASH/control            process 1 and the control plane
#   strata-lab-NAME-HASH/node-1/system      the node's containerd with its shims, and its kubelet
#   strata-lab-NAME-HASH/node-1/kubepods    made by the kubelet: the node's pods
#
# so that freezing node-1 freezes the whole machine it stands for.
# shellcheck shell=bash

cgroups=/sys/fs/cgroup

version_2() { [[ $(stat --file-system --format %T "$cgroups") == cgroup2fs ]]; }

# The tree whose groups freeze, and in which processes are found.
freezer_tree() { if version_2; then echo "$cgroups"; else echo "$cgroups/freezer"; fi; }

group_trees() {
  if version_2; then echo "$cgroups"; else
    # With "unified" among them, where runtimes leave empty groups.
    find "$cgroups" -mindepth 1 -maxdepth 1 -type d
  fi
}

# make_groups NODE…: the groups under which kubelets make those of pods. The caller enters the one for control.
make_groups() {
  local tree node folder file
  mkdir -p "$(freezer_tree)/$group/control" || return 1
  echo 0 >"$(freezer_tree)/$group/control/cgroup.procs" || return 1
  for node in "$@"; do
    while read -r tree; do
      mkdir -p "$tree/$group/$node/system" || return 1
      for folder in "$tree" "$tree/$group" "$tree/$group/$node"; do
        if version_2; then hand_down_controllers "$folder"; fi
      done
      for folder in "$tree/$group" "$tree/$group/$node" "$tree/$group/$node/system"; do
        # In version 1 a new set of processors starts out empty, and nothing can run in it.
        for file in cpuset.cpus cpuset.mems; do
          if ! version_2 && [[ -e $folder/$file ]]; then cat "$(dirname "$folder")/$file" >"$folder/$file"; fi
        done
      done
    done < <(group_trees)
  done
}

# What a kubelet insists on. In version 2 the root may refuse to hand them down: in a container, whose root group has
# processes of its own.
has_controllers() { # NODE
  ! version_2 || [[ $(xargs -n 1 <"$cgroups/$group/$1/cgroup.controllers" | grep -cxE 'cpu|memory|pids') == 3 ]]
}

# Version 2 gives a group only the controllers that its parent hands down. One at a time, as some may be missing.
hand_down_controllers() {
  local controller controllers
  read -ra controllers <"$1/cgroup.controllers"
  for controller in "${controllers[@]}"; do
    echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
  done
}

# The calling process enters the part of a node that is not pods.
join_system_group() { echo 0 >"$(freezer_tree)/$group/$1/system/cgroup.procs"; }

processes_below() { # FOLDER of a tree
  find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

freeze_group() { # NODE
  local folder
  folder=$(freezer_tree)/$group/$1
  if version_2; then
    echo 1 >"$folder/cgroup.freeze"
    await 20 "$1 to freeze" grep -qx 'frozen 1' "$folder/cgroup.events"
  else
    echo FROZEN >"$folder/freezer.state"
    await 20 "$1 to freeze" grep -qx FROZEN "$folder/freezer.state"
  fi
}

thaw_group() { # NODE
  local folder
  folder=$(freezer_tree)/$group/$1
  if version_2; then
    echo 0 >"$folder/cgroup.freeze"
    await 20 "$1 to thaw" grep -qx 'frozen 0' "$folder/cgroup.events"
  else
    echo THAWED >"$folder/freezer.state"
    await 20 "$1 to thaw" grep -qx THAWED "$folder/freezer.state"
  fi
}

# In version 1 even SIGKILL does not reach a frozen process, so whoever ends a lab thaws it first.
thaw_everything() {
  local folder
  for folder in "$(freezer_tree)/$group"/node-*; do
    if [[ -d $folder ]]; then thaw_group "${folder##*/}" || true; fi
  done
}

# Whoever is in the lab's groups, for a lab that lost its folder and with it the note of its process 1.
end_group() {
  local left
  left=$(processes_below "$(freezer_tree)/$group")
  # shellcheck disable=SC2086
  if [[ $left ]]; then kill -KILL $left 2>/dev/null || true; fi
}

groups_left() {
  local tree
  while read -r tree; do
    if [[ -d $tree/$group ]]; then echo "$tree/$group"; fi
  done < <(group_trees)
}

remove_groups() {
  local top
  # Deepest first; a group empties a moment after its last process has gone.
  while read -r top; do
    find "$top" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(groups_left)
  [[ -z $(groups_left) ]]
}
