//! The built-in interpreter rules.

use super::{Interpreter, InterpreterRules, NoScript};

/// Name under which the dynamic loader's rules are kept.
pub(super) const LOADER: &str = "ld.so";

/// Words of a table cell.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn shell() -> Interpreter {
    Interpreter {
        joined: true,
        inline: words("-c -s --command --init-command"),
        // A start file is code too.
        preload: words("--rcfile --init-file -C"),
        value: words("-o +o -O +O"),
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

fn python() -> Interpreter {
    Interpreter {
        joined: true,
        inline: words("-c"),
        module: words("-m"),
        value: words("-W -X -Q --check-hash-based-pycs"),
        ..Interpreter::default()
    }
}

fn node() -> Interpreter {
    Interpreter {
        inline: words("-e --eval -p --print -pe -i --interactive --run"),
        preload: words("-r --require --import --loader --experimental-loader --env-file"),
        value: words(
            "-C --conditions --title --icu-data-dir --openssl-config --diagnostic-dir --inspect-port --input-type \
             --stack-trace-limit --trace-event-categories --redirect-warnings --test-reporter --watch-path",
        ),
        run: words("inspect debug"),
        ..Interpreter::default()
    }
}

fn ruby() -> Interpreter {
    Interpreter {
        joined: true,
        inline: words("-e"),
        // `-S` looks the script up in PATH: a name, not a file.
        module: words("-S"),
        preload: words("-r"),
        value: words("-I -C -E --encoding --external-encoding --internal-encoding"),
        attached: words("-0 -F -i -K -T -W -x"),
        ..Interpreter::default()
    }
}

fn perl() -> Interpreter {
    Interpreter {
        joined: true,
        inline: words("-e -E"),
        module: words("-S"),
        preload: words("-d"),
        value: words("-I"),
        attached: words("-M -m -i -F -C -D -V -x"),
        ..Interpreter::default()
    }
}

fn php() -> Interpreter {
    Interpreter {
        inline: words("-r --run -B --process-begin -R --process-code -E --process-end -a --interactive"),
        file: words("-f --file -F --process-file"),
        preload: words("-z --zend-extension -c --php-ini"),
        loading: words("auto_prepend_file auto_append_file extension include_path"),
        value: words("-d --define -S -t --server --docroot"),
        ..Interpreter::default()
    }
}

fn java() -> Interpreter {
    Interpreter {
        module: words("-m --module"),
        file: words("-jar"),
        preload: words("-javaagent -agentpath -agentlib --patch-module"),
        value: words(
            "-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-opens \
             --add-exports --add-reads --limit-modules --source --enable-native-access",
        ),
        file_ending: Some(".java".to_owned()),
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

fn deno() -> Interpreter {
    Interpreter {
        preload: words("--preload --import --require"),
        value: words("-c --config --import-map --cert --lock --location --seed"),
        run: words("run serve"),
        eval: words("eval repl"),
        commands: true,
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

fn bun() -> Interpreter {
    Interpreter {
        inline: words("-e --eval -p --print"),
        preload: words("-r --preload --require --import"),
        value: words("-c --config --cwd --env-file --tsconfig-override"),
        run: words("run"),
        commands: true,
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

fn lua() -> Interpreter {
    Interpreter { joined: true, inline: words("-e -i"), preload: words("-l"), ..Interpreter::default() }
}

fn pwsh() -> Interpreter {
    Interpreter {
        inline: words("-c -C -Command -command -e -ec -EncodedCommand -CommandWithArgs -cwa"),
        file: words("-f -File -file"),
        value: words("-ExecutionPolicy -ep -ex -WorkingDirectory -wd -OutputFormat -InputFormat -ConfigurationName"),
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

/// `ld-linux-x86-64.so.2 ./tool`: the tool is the program.
fn loader() -> Interpreter {
    Interpreter {
        preload: words("--preload --audit"),
        value: words("--library-path --inhibit-rpath --argv0 --glibc-hwcaps-prepend --glibc-hwcaps-mask"),
        no_script: NoScript::Nothing,
        ..Interpreter::default()
    }
}

pub(super) fn rules() -> InterpreterRules {
    let groups = [
        ("sh bash rbash dash ash zsh ksh ksh93 mksh lksh yash fish", shell()),
        ("python pypy", python()),
        ("node nodejs", node()),
        ("ruby jruby truffleruby", ruby()),
        ("perl", perl()),
        ("php php-cli", php()),
        ("java", java()),
        ("deno", deno()),
        ("bun", bun()),
        ("lua luajit", lua()),
        ("pwsh", pwsh()),
        (LOADER, loader()),
    ];
    InterpreterRules::new(
        groups
            .into_iter()
            .flat_map(|(names, interpreter)| words(names).into_iter().map(move |name| (name, interpreter.clone()))),
    )
}
