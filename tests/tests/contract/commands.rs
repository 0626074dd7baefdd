//! The rows of the contract's table that scripts rely on word by word, and rules 1 and 2 for each of its commands.

use crate::scene::{Scene, failures, is_clean};

const DATABASE: &str =
    "    database: {host: mysql, name: db_ab12, user: user_ab12, password: s3cr3t-w0rd}\n";

/// Every row of the table but `help`, in an order in which each succeeds, with what else its words need.
const TABLE: [&str; 15] = [
    "zerodowntime.init",
    "zerodowntime.switch",
    "autoscaling.reinit",
    "crons.stop",
    "crons.start",
    "cache.all.clear",
    "cache.opcache.flush",
    "cache.cloudfront.invalidate",
    "cache.varnish.clear",
    "cache.redis.clear",
    "database.config",
    "nginx.update",
    "php.options.add memory_limit=200M",
    "php.options.list",
    "php.options.remove memory_limit",
];

/// Rule 1: "exit 0 done"; rule 2: "on success neither stdout nor stderr holds either" of `ERROR` and `Error`.
/// Row help: "lists commands with one line each".
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_table_ends_with_0_and_holds_neither_word() {
    let scene = Scene::open("words", DATABASE).await;
    // A name that reports and remarks may repeat.
    scene.stage.shop.write("pub/Error.txt", "ERROR\n").unwrap();
    let (help, code) = scene.merged("help").await;
    assert_eq!(code, 0, "{help}");
    assert!(is_clean(&help), "{help}");
    for words in TABLE {
        let (text, code) = scene.merged(words).await;
        assert_eq!(code, 0, "{words}: {text}");
        assert!(is_clean(&text), "{words}: {text}");
        let name = words.split(' ').next().unwrap_or_default();
        let listed = help
            .lines()
            .filter(|line| line.split_whitespace().next() == Some(name));
        assert_eq!(listed.count(), 1, "{name} is not one line of help: {help}");
    }
}

/// Rule 1: "exit 1 for every operational failure (one script tests exactly 1)"; rule 2: "on failure of a command of the
/// table one line on stdout holds both `ERROR` and `Error` and says what to do", "scripts merge stdout and stderr".
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_table_that_fails_ends_with_1_and_says_so_in_one_line() {
    let scene = Scene::open("fails", "").await;
    // A release may not lead out of its tree; a file of nginx may not; nobody listens for Redis.
    std::os::unix::fs::symlink("/etc", scene.stage.shop.code().join("away")).unwrap();
    let folder = scene.stage.shop.code().join(".nginx/server_level");
    std::fs::create_dir_all(folder).unwrap();
    let bad = ("server_level/a.conf", "proxy_pass http://10.0.0.1;");
    scene
        .stage
        .shop
        .write(&format!(".nginx/{}", bad.0), bad.1)
        .unwrap();
    let text = std::fs::read_to_string(scene.stage.place.config()).unwrap();
    let caches = "    caches: {redis: [{name: fpc, url: 'redis://127.0.0.1:9'}], varnish: {url: 'http://127.0.0.1:9'}}\n";
    std::fs::write(scene.stage.place.config(), text + caches).unwrap();
    let (text, code) = scene.merged("environments.apply").await;
    assert_eq!(code, 0, "{text}");
    for (words, what_to_do) in [
        ("zerodowntime.init", "away"),
        ("zerodowntime.switch", "run zerodowntime.init first"),
        ("autoscaling.reinit", "away"),
        ("cache.redis.clear", "redis:fpc"),
        ("cache.varnish.clear", "varnish"),
        ("cache.all.clear", "redis:fpc"),
        ("database.config", "database"),
        ("nginx.update", "a.conf:1"),
        ("php.options.add memory_limit=200M", "away"),
    ] {
        fails(&scene, words, what_to_do).await;
    }
    // What reads the first line of the credentials finds the failure there, and nothing that it would take for one.
    let (text, _) = scene.merged("database.config").await;
    let first = text.lines().next().unwrap_or_default();
    assert_eq!(failures(first), 1, "{text}");
    assert!(!text.contains("Username"), "{text}");
    for words in TABLE {
        fails(
            &scene,
            &format!("{words} --env nosuch"),
            "there is no environment",
        )
        .await;
        let words = format!("{words} --server unix:/nonexistent/stratus.sock");
        fails(&scene, &words, "start it with").await;
    }
    assert_eq!(
        scene.release().await,
        "release 0",
        "the live site is untouched"
    );
}

async fn fails(scene: &Scene, words: &str, what_to_do: &str) {
    let (text, code) = scene.merged(words).await;
    assert_eq!(code, 1, "{words}: {text}");
    assert_eq!(failures(&text), 1, "{words}: {text}");
    assert!(text.contains(what_to_do), "{words}: {text}");
    // One toolkit shows stdout only.
    let alone = scene.bash(&format!("\"$CLI\" {words} 2>/dev/null")).await;
    assert_eq!((alone.code, alone.stderr.as_str()), (1, ""), "{alone}");
    assert_eq!(failures(&alone.stdout), 1, "{alone}");
    // The other way: `if` of a script.
    let script =
        format!("if \"$CLI\" {words} >/dev/null 2>&1; then echo went on; else echo code $?; fi");
    let branch = scene.bash(&script).await;
    assert_eq!(branch.stdout, "code 1\n", "{branch}");
}

/// The rows below, one after another on one stage.
#[tokio::test(flavor = "multi_thread")]
async fn the_recipes_of_existing_scripts_work_as_they_are_written() {
    let scene = Scene::open("recipes", DATABASE).await;
    both_parsers_in_the_field_read_the_first_line_of_the_database(&scene).await;
    the_next_line_of_a_script_may_switch_and_the_next_see_the_new_code(&scene).await;
    a_recipe_that_greps_for_the_word_and_tries_again_gets_its_switch(&scene).await;
    the_typo_of_the_vendors_example_stops_a_script_and_names_the_command(&scene).await;
}

/// Row zerodowntime.init: "scripts call switch on the very next line, so it blocks until ready".
/// Row autoscaling.reinit: "init then switch, blocking, never mixed": no sleep, and the next line sees the new code.
async fn the_next_line_of_a_script_may_switch_and_the_next_see_the_new_code(scene: &Scene) {
    let page = format!(
        "curl -sS --max-time 20 -H 'Host: shop.example.test' http://{}/index.php | head -n1",
        scene.stage.place.http
    );
    scene.stage.shop.release(1).unwrap();
    let script = format!("$CLI zerodowntime.init;\n$CLI zerodowntime.switch\n{page}");
    let output = scene.bash(&script).await.success().unwrap();
    assert_eq!(output.stdout.lines().last(), Some("release 1"), "{output}");
    scene.stage.shop.release(2).unwrap();
    let output = scene
        .bash(&format!("$CLI autoscaling.reinit\n{page}"))
        .await;
    assert_eq!(output.stdout.lines().last(), Some("release 2"), "{output}");
}

/// Row zerodowntime.switch: "one recipe greps for `ERROR` and retries after 120 s"; "without a ready set: exit 1, nothing
/// changed".
async fn a_recipe_that_greps_for_the_word_and_tries_again_gets_its_switch(scene: &Scene) {
    scene.stage.shop.release(3).unwrap();
    let recipe = "
        said=$($CLI zerodowntime.switch 2>&1)
        if echo \"$said\" | grep -q ERROR; then
            echo \"again\"
            # What is missing is done meanwhile, as another job would.
            $CLI zerodowntime.init >/dev/null
            said=$($CLI zerodowntime.switch 2>&1)
        fi
        echo \"$said\" | grep -q ERROR && exit 1
        exit 0";
    let status = scene.status().await;
    let output = scene.bash("$CLI zerodowntime.switch >/dev/null 2>&1").await;
    assert_eq!(output.code, 1);
    assert_eq!(scene.status().await["live"], status["live"]);
    let output = scene.bash(recipe).await.success().unwrap();
    assert_eq!(output.stdout, "again\n");
    assert_eq!(scene.release().await, "release 3");
}

/// Row unknown command: "the vendor's own example carried the typo `zerdowntime.switch`": "exit non-zero, suggest the
/// nearest name".
async fn the_typo_of_the_vendors_example_stops_a_script_and_names_the_command(scene: &Scene) {
    scene.stage.shop.release(4).unwrap();
    let script = "set -e
        /bin/true && $CLI zerodowntime.init
        $CLI zerdowntime.switch
        echo deployed";
    let output = scene.bash(script).await;
    assert_ne!(output.code, 0, "{output}");
    assert!(!output.stdout.contains("deployed"), "{output}");
    assert!(
        output.stdout.contains("did you mean zerodowntime.switch?"),
        "{output}"
    );
    assert_eq!(failures(&output.stdout), 1, "{output}");
    assert_eq!(scene.release().await, "release 3");
}

/// Row database.config, and the section `database.config`: "two parsers are in the field, both must work on the FIRST line
/// of stdout+stderr merged"; "no other line may contain `Username`".
async fn both_parsers_in_the_field_read_the_first_line_of_the_database(scene: &Scene) {
    let script = r#"
        all=$($CLI database.config 2>&1)
        line=$(echo "$all" | head -n 1)
        [ "$(echo "$all" | grep -c Username)" = 1 ] || exit 2
        for field in 3 7 14; do
            echo "$line" | grep Username | awk "{print \$$field}" | cut -c3- | rev | cut -c4- | rev
        done
        awk '/Username/ { for (i = 3; i <= 14; i++) if (i == 3 || i == 7 || i == 14) print substr($i, 3, length($i) - 5) }' <<<"$all"
        echo "$line" | sed 's/^.*Result: //; s/\\"/"/g' | grep -o '"Password": "[^"]*"' | cut -d'"' -f4
        echo "$line""#;
    let output = scene.bash(script).await.success().unwrap();
    let lines: Vec<&str> = output.stdout.lines().collect();
    let fields = ["user_ab12", "db_ab12", "s3cr3t-w0rd"];
    assert_eq!(lines[..3], fields, "{output}");
    assert_eq!(lines[3..6], fields, "{output}");
    assert_eq!(lines[6], "s3cr3t-w0rd", "{output}");
    let object: serde_json::Value = serde_json::from_str(lines[7]).unwrap();
    let result = object["args"][0].as_str().unwrap();
    let inner = result
        .strip_prefix("Result:")
        .expect("it begins with Result:");
    let inner: serde_json::Value = serde_json::from_str(inner).unwrap();
    let keys = ["Username", "Name", "Password"];
    assert_eq!(keys.map(|key| inner[key].as_str().unwrap()), fields);

    let modern = "$CLI database.config --field password; $CLI --json database.config";
    let modern = scene.bash(modern).await.success().unwrap();
    let (password, json) = modern.stdout.split_once('\n').unwrap();
    assert_eq!(password, "s3cr3t-w0rd");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["name"], "db_ab12", "{json}");
}
