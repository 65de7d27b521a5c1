//! Clients that others wrote, unchanged: redis-cli and redis-py, while nodes come and go. The Rust client is the one of all other scenarios.

use std::{process::Stdio, time::Duration};
use strata_e2e::{
    failure::Failure,
    harness::process::Options,
    place::home,
    say::say,
    scene::{Scene, play},
};
use tokio::process::Command;

/// How long a client may take.
const CLIENT_DEADLINE: Duration = Duration::from_secs(150);

#[test]
fn redis_py_works_while_nodes_come_and_go() -> Result<(), Failure> {
    let Some(python) = python_with_redis() else {
        say("skipped: redis_py_works_while_nodes_come_and_go: python3 has no module redis (Debian package python3-redis)");
        return Ok(());
    };
    play("redis_py_works_while_nodes_come_and_go", Options::three_nodes(16), async |scene| {
        scene.cluster.bootstrap().await?;
        let (plain, cluster) = doors(scene, 0);
        let script = home().join("clients/redis_py.py");
        let script = script.to_string_lossy();
        let arguments: [&str; 4] = [&script, &plain, &cluster, "300"];
        let client = run(python, &arguments);
        let trouble = async {
            for node in [1, 2] {
                scene.cluster.restart(node).await?;
            }
            Ok(())
        };
        let (said, done) = tokio::join!(client, trouble);
        done?;
        let said = said?;
        Failure::unless(said.trim_end().ends_with("300 rounds agreed"), || format!("redis-py said: {said}"))
    })
}

#[test]
fn redis_cli_works_on_both_ports() -> Result<(), Failure> {
    play("redis_cli_works_on_both_ports", Options::three_nodes(16), async |scene| {
        scene.cluster.bootstrap().await?;
        for node in scene.cluster.indexes() {
            let (plain, cluster) = doors(scene, node);
            let key = format!("cli:{node}");
            expect(&plain, &["SET", &key, "plain"], "OK").await?;
            expect(&cluster, &["-c", "GET", &key], "plain").await?;
            expect(&cluster, &["-c", "HSET", &format!("{key}:hash"), "b", "2"], "1").await?;
            expect(&plain, &["HGET", &format!("{key}:hash"), "b"], "2").await?;
            expect(&plain, &["-3", "HGETALL", &format!("{key}:hash")], "1# \"b\" => \"2\"").await?;
            expect(&plain, &["INCRBY", "cli:count", "2"], &(2 * (node + 1)).to_string()).await?;
            expect(&cluster, &["CLUSTER", "KEYSLOT", "foo"], "12182").await?;
        }
        Ok(())
    })
}

fn doors(scene: &Scene, node: usize) -> (String, String) {
    let ports = scene.cluster.ports(node);
    (format!("127.0.0.1:{}", ports.plain), format!("127.0.0.1:{}", ports.cluster))
}

async fn expect(address: &str, arguments: &[&str], wanted: &str) -> Result<(), Failure> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| Failure::broken(format!("{address} has no port")))?;
    let said = run("redis-cli", &[&["--no-raw", "-h", host, "-p", port], arguments].concat()).await?;
    let said = said.trim_end().trim_start_matches("(integer) ").to_owned();
    let plain = said.strip_prefix('"').and_then(|said| said.strip_suffix('"')).filter(|_| !said.contains("=>")).unwrap_or(&said);
    Failure::unless(plain == wanted, || format!("redis-cli {arguments:?} at {address} should say {wanted:?}, and said {said:?}"))
}

async fn run(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(CLIENT_DEADLINE, command.output()).await;
    let output = ended.map_err(|_| Failure::broken(format!("{program} did not end within {} s", CLIENT_DEADLINE.as_secs())))?;
    let output = output.map_err(Failure::of(format!("run {program}")))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
    Failure::unless(output.status.success(), || format!("{program} {arguments:?} ended with {}: {out}{err}", output.status))?;
    Ok(out)
}

/// The interpreter on the path, or the system's, if it has redis-py with its cluster client.
fn python_with_redis() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let probe = std::process::Command::new(python).args(["-c", "import redis.cluster"]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    })
}
