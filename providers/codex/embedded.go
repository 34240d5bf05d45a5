package codex

import (
	"embed"

	"github.com/smarthaus/caio-bridge-go/contract"
)

//go:embed contract.yaml schemas/*.json
var embedded embed.FS

// Contract returns the provider's embedded contract, codex-bridge-001. Its error is nil unless the
// embedded files are invalid, and then it names all problems.
func Contract() (*contract.Contract, error) {
	return contract.Load(embedded, "contract.yaml")
}
