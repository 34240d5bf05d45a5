package contract

import "encoding/json"

// Lint returns the warnings about a valid contract: what is likely a mistake, contradicts itself or cannot be verified,
// in the order of the places. The contract can be used nonetheless.
func Lint(c *Contract) Diagnostics {
	if c == nil || c.document == nil {
		return nil
	}
	var warnings Diagnostics
	if len(c.document.warnings) > 0 {
		_ = json.Unmarshal(c.document.warnings, &warnings) // newDocument made it
	}
	return warnings
}
