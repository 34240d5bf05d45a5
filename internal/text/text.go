// Package text prepares texts of peers for logs, errors and telemetry.
package text

import "strings"

// maxClip is the length of a clipped text in bytes, without the ellipsis.
const maxClip = 80

// Clip returns s, or its first 80 bytes and an ellipsis if s is longer. It cuts no character in
// two.
func Clip(s string) string { return ClipTo(s, maxClip) }

// ClipTo is [Clip] with another limit in bytes.
func ClipTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
