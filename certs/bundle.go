package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Overlap returns a bundle with the authorities of now's PEM first, then those of
// an earlier bundle that have not ended, so that a certificate of either is
// trusted while one follows the other. It also returns when the last of the first
// ends, and when the last of those that were kept does, zero if none was.
func Overlap(current, earlier []byte, now time.Time) (bundle []byte, until, kept time.Time, err error) {
	ended := func(c *x509.Certificate) bool { return now.After(c.NotAfter) }
	cas, err := decodeCertificates(current)
	if err != nil {
		return nil, until, kept, err
	}
	if until = latest(cas); now.After(until) {
		return nil, until, kept, fmt.Errorf("the last certificate ended at %s", until.UTC().Format(time.RFC3339))
	}
	cas = slices.DeleteFunc(cas, ended)
	if len(earlier) > 0 {
		old, err := decodeCertificates(earlier)
		if err != nil {
			return nil, until, kept, fmt.Errorf("%w: %w", ErrEarlier, err)
		}
		old = slices.DeleteFunc(old, func(c *x509.Certificate) bool { return ended(c) || slices.ContainsFunc(cas, c.Equal) })
		kept = latest(old)
		cas = append(cas, old...)
	}
	for _, c := range cas {
		bundle = append(bundle, encodeCertificate(c)...)
	}
	return bundle, until, kept, nil
}

// ErrEarlier is the error of [Overlap] if it is the earlier bundle that cannot be
// read.
var ErrEarlier = errors.New("the earlier bundle")
