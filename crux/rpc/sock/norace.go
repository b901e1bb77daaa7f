//go:build !race

package sock

const watched = false
