package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// printBanner says what runs where, and what to try.
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
	fmt.Fprintf(w, "\nTry, in another terminal:\n")
	fmt.Fprintf(w, "\n# have code written (add -N -H 'Accept: text/event-stream' to watch)\n")
	fmt.Fprintf(w, "%s%s %s/generate \\\n  -d '%s'\n", post, bridgeAuth, bridgeURL, `{"prompt": "Write a Python function to add two numbers", "context": {"language": "python"}}`)
	fmt.Fprintf(w, "\n# have code reviewed\n")
	fmt.Fprintf(w, "%s%s %s/review \\\n  -d '%s'\n", post, bridgeAuth, bridgeURL, `{"code": "def div(a, b):\n    return a / b  # TODO: b == 0\n", "context": {"language": "python"}}`)
	if cfg.register {
		fmt.Fprintf(w, "\n# ask CAIO for a service that writes code, and why it is the one\n")
		fmt.Fprintf(w, "%s%s %s/api/v1/orchestrate \\\n  -d '%s'\n", post, caioAuth, caioURL, `{"requirements": ["code_generation"], "context": {"language": "python"}}`)
	} else {
		fmt.Fprintf(w, "\n# ask CAIO which services write code\n")
		fmt.Fprintf(w, "curl -sS -w '\\n'%s '%s/api/v1/services?capability=code_generation'\n", caioAuth, caioURL)
	}
	fmt.Fprintf(w, "\nCtrl-C stops it.\n\n")
}

// shell returns what stands for a secret on a command line.
func (c *config) shell(name string) string {
	if c.getenv(name+"_FILE") != "" {
		return `$(cat "$` + name + `_FILE")`
	}
	return "$" + name
}

func aboutModel(cfg *config, model string) string {
	if cfg.offline() {
		return model + ": asks no AI; set OPENAI_API_KEY, or OPENAI_BASE_URL for another server"
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
	return "built-in registry, in memory, with a page for browsers; set CAIO_URL to use your CAIO"
}

func aboutRegistration(cfg *config) string {
	if cfg.register {
		return "registered there while this runs"
	}
	return "not registered (-register=false)"
}
