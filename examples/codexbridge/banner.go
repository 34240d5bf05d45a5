package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// printBanner prints the URLs of bridge and CAIO, and commands to try.
func printBanner(w io.Writer, cfg *config, bridgeURL, caioURL, model string, c *contract.Contract) {
	fmt.Fprintf(w, "Codex bridge  %s  model %s\n", bridgeURL, aboutModel(cfg, model))
	fmt.Fprintf(w, "CAIO          %s  %s\n", caioURL, aboutCAIO(cfg))
	fmt.Fprintf(w, "Service       %s %s, %s\n", c.ID, c.Version, aboutRegistration(cfg))

	post := "curl -sS -w '\\n' -H 'Content-Type: application/json'"
	bridgeAuth, caioAuth := "", ""
	if cfg.bridgeToken != "" {
		bridgeAuth = ` -H "Authorization: Bearer ` + cfg.shell("CODEX_BRIDGE_TOKEN") + `"`
	}
	if cfg.caioToken != "" {
		caioAuth = ` -H "Authorization: Bearer ` + cfg.shell("CAIO_TOKEN") + `"`
	}
	try := func(title, auth, url, body string) {
		fmt.Fprintf(w, "\n# %s\n%s%s %s \\\n  -d '%s'\n", title, post, auth, url, body)
	}
	fmt.Fprintf(w, "\nCommands to try in another terminal:\n")
	try("generate code (add -N -H 'Accept: text/event-stream' for a stream)", bridgeAuth, bridgeURL+"/generate",
		`{"prompt": "Write a Python function to add two numbers", "context": {"language": "python"}}`)
	try("review code", bridgeAuth, bridgeURL+"/review",
		`{"code": "def div(a, b):\n    return a / b  # TODO: b == 0\n", "context": {"language": "python"}}`)
	if cfg.register {
		try("let CAIO choose a service for code generation and explain its choice", caioAuth, caioURL+"/api/v1/orchestrate",
			`{"requirements": ["code_generation"], "context": {"language": "python"}}`)
	} else {
		fmt.Fprintf(w, "\n# list CAIO's services for code generation\n")
		fmt.Fprintf(w, "curl -sS -w '\\n'%s '%s/api/v1/services?capability=code_generation'\n", caioAuth, caioURL)
	}
	fmt.Fprintf(w, "\nCtrl-C stops the bridge.\n\n")
}

// shell returns the shell expression for a secret's value.
func (c *config) shell(name string) string {
	if c.getenv(name+"_FILE") != "" {
		return `$(cat "$` + name + `_FILE")`
	}
	return "$" + name
}

func aboutModel(cfg *config, model string) string {
	if cfg.offline() {
		return model + " (built in, not an AI; set OPENAI_API_KEY, or OPENAI_BASE_URL for another server)"
	}
	host := "OpenAI"
	if u, err := url.Parse(cfg.modelURL); err == nil && u.Host != "" {
		host = u.Host
	}
	return model + " at " + host
}

func aboutCAIO(cfg *config) string {
	if cfg.caioURL != "" {
		return "(CAIO_URL)"
	}
	return "(built-in registry, in memory; open it in a browser, or set CAIO_URL to use your own)"
}

func aboutRegistration(cfg *config) string {
	if cfg.register {
		return "registered with CAIO while the bridge runs"
	}
	return "not registered with CAIO (-register=false)"
}
