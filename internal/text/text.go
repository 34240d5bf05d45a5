// Package text prepares texts of peers for logs, errors and telemetry.
package text

import "strings"

// maxClip is the length of a clipped text in bytes, without the ellipsis.
const maxClip = 80

// Clip returns s, or its first 80 bytes and an ellipsis if s is longer. It cuts no character in
// two.
func Clip(s string) string {
	if len(s) <= maxClip {
		return s
	}
	return strings.ToValidUTF8(s[:maxClip], "") + "…"
}
