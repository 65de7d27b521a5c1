# An S3 server (versitygw over a plain folder: each folder in it is a bucket) inside the lab's network.
# shellcheck shell=bash

s3_port=7070

s3_endpoint() { echo "http://$s3_address:$s3_port"; }

s3_running() { [[ -e $run/pid/s3 ]] && nsenter --target "$process_one" --pid --mount kill -0 "$(cat "$run/pid/s3")" 2>/dev/null; }

s3() {
  local verb=${1:-} data=''
  shift || true
  while (($#)); do
    case $1 in
      --data) data=${2:-} && shift 2 ;;
      *) misuse "s3 does not know '$1'" ;;
    esac
  done
  case $verb in
    start) s3_start "$data" ;;
    stop) s3_stop ;;
    address)
      s3_running || fail "no S3 server runs in lab '$name'; start it with: lab s3 $name start --data FOLDER" 4
      s3_endpoint
      ;;
    *) misuse "s3 needs start, stop or address, not '$verb'" ;;
  esac
}

# The data outlives the lab, so the folder is the caller's; a server that is killed stays down until started again.
s3_start() {
  local data=$1
  [[ ${AWS_ACCESS_KEY_ID:-} && ${AWS_SECRET_ACCESS_KEY:-} ]] ||
    misuse "s3 start needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
  [[ $data ]] || misuse "s3 start needs --data FOLDER"
  mkdir -p "$data" || fail "cannot create the folder $data for the S3 server"
  data=$(realpath "$data")
  s3_running && fail "an S3 server runs in lab '$name' already; end it with: lab s3 $name stop"
  # In the lab's pid namespace, so that "down" ends it with everything else. Its pid is the one in there.
  export ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY
  # shellcheck disable=SC2016
  detached "$run/log/s3.log" nsenter --target "$process_one" --pid --net --mount \
    bash -c 'echo $$ >"$1" && shift && exec "$@"' s3 "$run/pid/s3" \
    "$bin/versitygw" --port "$s3_address:$s3_port" --quiet posix "$data"
  await 20 "the S3 server to answer" enter curl --silent --max-time 2 --output /dev/null "$(s3_endpoint)" ||
    fail "the S3 server did not start: $(last_words "$run/log/s3.log"); see $run/log/s3.log"
  s3_endpoint
}

s3_stop() {
  s3_running || return 0
  nsenter --target "$process_one" --pid --mount kill -KILL "$(cat "$run/pid/s3")"
  await 20 "the S3 server to end" not s3_running || exit 1
  rm -f "$run/pid/s3"
}
