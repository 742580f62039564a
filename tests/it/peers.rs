//! The script that runs rollbook against its peers, as far as it goes without them: it needs
//! packages from elsewhere and minutes, so what can break unseen is looked at here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::venv;

const README: &str = include_str!("../../README.md");

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// What Python says to a program with these arguments; it must succeed.
fn python(program: &str, arguments: &[&Path]) -> String {
    told("python3".as_ref(), program, arguments)
}

fn told(interpreter: &Path, program: &str, arguments: &[&Path]) -> String {
    let output = Command::new(interpreter)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", program])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn scripts() -> Vec<PathBuf> {
    let folders = [peers(), peers().join("contenders")];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|is| is == "py"))
        .collect()
}

#[test]
fn each_script_can_be_compiled() {
    let scripts = scripts();
    assert!(scripts.len() > 10, "{scripts:?}");
    let paths: Vec<_> = scripts.iter().map(PathBuf::as_path).collect();
    python(
        "import sys\nfor path in sys.argv[1:]: compile(open(path).read(), path, 'exec')",
        &paths,
    );
    let run = Command::new("bash")
        .arg("-n")
        .arg(peers().join("run"))
        .status();
    assert!(run.unwrap().success());
}

#[test]
fn each_package_has_one_version_and_each_import_a_package() {
    let requirements = fs::read_to_string(peers().join("requirements.txt")).unwrap();
    let packages: Vec<_> = requirements
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, version) = line.split_once("==").unwrap();
            let is_exact = version
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '.');
            assert!(is_exact && version.contains('.'), "{line}");
            name.to_lowercase()
        })
        .collect();
    // Those that neither Python nor this folder has.
    let foreign = python(
        "import ast, json, pathlib, sys\n\
         trees = [ast.parse(pathlib.Path(path).read_text()) for path in sys.argv[1:]]\n\
         nodes = [node for tree in trees for node in ast.walk(tree)]\n\
         names = {n.name for node in nodes if isinstance(node, ast.Import) for n in node.names}\n\
         names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}\n\
         own = {pathlib.Path(path).stem for path in sys.argv[1:]}\n\
         print(json.dumps(sorted({n.split('.')[0] for n in names} - own - sys.stdlib_module_names)))",
        &scripts().iter().map(PathBuf::as_path).collect::<Vec<_>>(),
    );
    let foreign: Vec<String> = serde_json::from_str(&foreign).unwrap();
    assert!(foreign.contains(&"aiohttp".to_owned()), "{foreign:?}");
    for name in foreign {
        assert!(packages.contains(&name), "{name}");
    }
}

#[test]
fn the_help_names_the_scenarios_and_every_contender_has_its_script() {
    let said = python(
        "import runpy, sys\n\
         main = sys.argv[1]\n\
         sys.path.insert(0, sys.argv[2])\n\
         import lineup\n\
         for script in lineup.SCRIPTS.glob('*.py'): print(script.name)\n\
         sys.argv = ['main.py', '--home', '.', '--help']\n\
         runpy.run_path(main, run_name='__main__')",
        &[&peers().join("main.py"), &peers()],
    );
    for scenario in ["one", "latency", "many", "killed"] {
        assert!(said.contains(scenario), "{said}");
    }
    let lineup = fs::read_to_string(peers().join("lineup.py")).unwrap();
    let named: Vec<_> = lineup
        .split('"')
        .filter(|word| Path::new(word).extension().is_some_and(|is| is == "py"))
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for script in named {
        assert!(said.contains(script), "{script}");
    }
}

#[test]
fn the_table_of_the_readme_is_of_these_contenders_and_columns() {
    let said = python(
        "import sys\n\
         sys.path.insert(0, sys.argv[1])\n\
         import lineup, readme\n\
         print(readme.row(readme.HEAD))\n\
         print(*(f'| {contender.name} |' for contender in lineup.PEERS), sep='\\n')",
        &[&peers()],
    );
    assert!(said.lines().count() > 5, "{said}");
    for line in said.lines() {
        assert!(README.contains(line), "{line}");
    }
}

#[test]
fn the_check_of_rows_sees_what_is_lost_doubled_or_mixed_up_and_not_the_order() {
    let said = told(
        &venv::python(),
        "import json, sys\n\
         sys.path.insert(0, sys.argv[1])\n\
         import digest\n\
         columns = 'u, n, c, d, m, p, j, l'\n\
         def figures(*rows):\n    \
             values = ', '.join(str(row) for row in rows)\n    \
             return digest.of(f'(VALUES {values}) AS t({columns})', columns)\n\
         one, two = ('m1', 'a', '+1', 'd', 'm', 'p', 1, 5), ('m1', 'b', '+2', 'd', 'm', 'p', 2, 9)\n\
         mixed = ('m1', 'b', '+1', 'd', 'm', 'p', 1, 5), ('m1', 'a', '+2', 'd', 'm', 'p', 2, 9)\n\
         print(json.dumps([figures(one, two), figures(two, one),\n    \
             figures(one), figures(one, two, two), figures(one, one), figures(*mixed)]))",
        &[&peers()],
    );
    let said: Vec<Value> = serde_json::from_str(&said).unwrap();
    let (right, others) = said.split_first().unwrap();
    assert_eq!(
        (&right["rows"], &right["stayed_ms"]),
        (&2.into(), &11.into())
    );
    assert_eq!(right, &others[0]);
    for wrong in &others[1..] {
        assert_ne!(right, wrong);
    }
    // Only the hash tells members that changed places.
    assert_eq!(right["stayed_ms"], others[4]["stayed_ms"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_is_measured_and_the_simulator_says_how_many_requests_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let said = python(
        "import dataclasses, json, pathlib, sys\n\
         binary, folder = map(pathlib.Path, sys.argv[1:3])\n\
         sys.path.insert(0, sys.argv[3])\n\
         import lineup, measured, race, simulator\n\
         with simulator.Simulator(binary, simulator.World(1, 1_100), folder) as running:\n    \
             stage = lineup.Stage(binary, running, folder / 'out', folder)\n    \
             command = lineup.ROLLBOOK.command(stage)\n    \
             run = measured.Running(command, race.environment(running), folder / 'log')\n    \
             cost = dataclasses.asdict(run.cost())\n\
         log = (folder / 'log').read_text()\n\
         print(json.dumps(cost | {'requests': running.requests, 'log': log}))",
        &[
            Path::new(env!("CARGO_BIN_EXE_rollbook")),
            folder.path(),
            &peers(),
        ],
    );
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["code"], 0, "{said}");
    assert_eq!(said["requests"], 3, "{said}");
    for figure in ["wall_s", "cpu_s", "peak_mb"] {
        assert!(said[figure].as_f64().unwrap() > 0.0, "{said}");
    }
    let parts = fs::read_dir(folder.path().join("out/dataset")).unwrap();
    assert_eq!(parts.count(), 2, "a part, and the ledger's folder");
}
