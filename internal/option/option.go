// Package option sets and checks numeric options.
package option

import (
	"fmt"
	"time"
)

// Default sets an option that is zero to its default. It fails if the option is then not between
// low and high.
func Default[T int | int64 | time.Duration](name string, option *T, preset, low, high T) error {
	if *option == 0 {
		*option = preset
	}
	if *option < low || *option > high {
		return fmt.Errorf("%s is %v, but must be between %v and %v (0 means %v)", name, *option, low, high, preset)
	}
	return nil
}
