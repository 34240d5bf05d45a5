package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Colours do not move columns, and are for terminals only, unless somebody asks for none.
func TestColours(t *testing.T) {
	t.Parallel()
	table := newTable()
	table.coloured = true
	table.paintedRow(bold, "ID", "STATUS")
	table.row("translator-001", "active")
	table.paintedRow(yellow, "echo", "unhealthy")
	want := "\x1b[1mID              STATUS\x1b[0m\ntranslator-001  active\n\x1b[33mecho            unhealthy\x1b[0m\n"
	if diff := cmp.Diff(want, string(table.bytes())); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}

	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a device like a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	read, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer pipe.Close()
	for name, test := range map[string]struct {
		env  map[string]string
		file *os.File
		want bool
	}{
		"terminal":         {nil, device, true},
		"pipe":             {nil, pipe, false},
		"NO_COLOR":         {map[string]string{"NO_COLOR": "1"}, device, false},
		"a plain terminal": {map[string]string{"TERM": "dumb"}, device, false},
	} {
		a := &app{getenv: func(name string) string { return test.env[name] }}
		if got := a.colours(test.file); got != test.want {
			t.Errorf("%s: colours %t, want %t", name, got, test.want)
		}
	}
}

// The scripts are ones that their shells accept.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	term := &terminal{}
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "#compdef caioctl", "fish": "complete -c caioctl", "powershell": "Register-ArgumentCompleter"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			script := term.must(t, "completion", shell)
			if !strings.Contains(script, want) {
				t.Errorf("no %q in the script", want)
			}
			if shell == "powershell" {
				return // it has no way to check a script without running it
			}
			if _, err := exec.LookPath(shell); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(shell + " is missing")
				}
				t.Skipf("%s is not installed; with it, it is asked whether it accepts the script", shell)
			}
			check := exec.CommandContext(t.Context(), shell, "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		})
	}
}

// At the keyboard services and capabilities are completed; without a CAIO they are not, and nobody waits.
func TestCompletion(t *testing.T) {
	t.Parallel()
	term := newTerminal(t, nil)
	term.must(t, "register", term.contract)
	for _, test := range []struct {
		typed string
		want  string
	}{
		{"service ", "echo-001\tEcho"},
		{"unregister echo-001 ", ":4"},
		{"route ", "echo\n"},
		{"call echo ", ":4"},
		{"services -o ", "table\njson\nyaml\n"},
		{"completion ", "bash\nzsh\nfish\npowershell\n"},
		{"service --url http://127.0.0.1:1 ", ":4"},
	} {
		status, stdout, _ := term.run(t, "", append([]string{"__complete"}, strings.Split(test.typed, " ")...)...)
		if status != exitOK || !strings.HasPrefix(stdout, test.want) {
			t.Errorf("caioctl %s: status %d, %q, want %q", test.typed, status, stdout, test.want)
		}
	}
}

// Every command says what it is for, with an example.
func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	a := &app{getenv: func(string) string { return "" }}
	commands := a.command().Commands()
	if len(commands) < 14 {
		t.Errorf("only %d commands", len(commands))
	}
	for _, cmd := range commands {
		if cmd.Short == "" || !strings.Contains(cmd.Example, "caioctl "+cmd.Name()) {
			t.Errorf("caioctl %s: %q, example %q", cmd.Name(), cmd.Short, cmd.Example)
		}
	}
}
