package certs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// RotateKey replaces the key of the CA, for example after a leak, and reports
// its steps to say. First both keys are trusted. When every configuration has
// both, the new key signs. The old one stays trusted for keep, or for the life
// of a leaf if keep is zero; then any replica removes it. RotateKey may be
// interrupted anywhere and called again: it continues. It needs no running
// replica, and does not have to notify any.
func (s *SelfSigned) RotateKey(ctx context.Context, keep time.Duration, say func(string)) error {
	if err := s.PrepareKey(ctx, say); err != nil {
		return err
	}
	keep = cmp.Or(keep, s.Lifetimes.leaf())
	if err := s.edit(ctx, func(a *authority, now time.Time) error {
		old := a.certificate(a.key, now)
		switch {
		case a.next == nil:
			return errors.New("the key was changed by somebody else at the same time")
		case old != nil:
			a.retired[keyID(old)] = now.Add(keep)
		}
		a.key, a.next = a.next, nil
		return nil
	}); err != nil {
		return err
	}
	say("the new key signs; replicas change their certificates within seconds, and the old key is trusted for another " +
		keep.String())
	return nil
}

// PrepareKey is the first half of RotateKey: both keys are trusted, and the old
// one signs until RotateKey is called. In between, what is not in the API can be
// given the new CA: the files of static guards.
func (s *SelfSigned) PrepareKey(ctx context.Context, say func(string)) error {
	if err := s.prepareKey(ctx, say); err != nil {
		return err
	}
	return s.spreadKey(ctx, say)
}

// prepareKey adds a second key to the Secret.
func (s *SelfSigned) prepareKey(ctx context.Context, say func(string)) error {
	return s.edit(ctx, func(a *authority, now time.Time) error {
		if a.next != nil {
			say("a change of the key was begun earlier: going on with it")
			return nil
		}
		key, err := newKey()
		if err != nil {
			return err
		}
		a.next = key
		say("made a new key, to be trusted beside the old one")
		return a.certify(key, s.subject(), now, s.Lifetimes.ca())
	})
}

// spreadKey waits until every configuration has trusted the second key for long
// enough that every API server has seen it.
func (s *SelfSigned) spreadKey(ctx context.Context, say func(string)) error {
	said := false
	for {
		live, err := s.Trust.read(ctx)
		if err != nil {
			return err
		}
		a, err := s.read(ctx)
		if err != nil {
			return err
		}
		if a.next == nil {
			return errors.New("the new key is gone from the Secret: begin again")
		}
		bundle := a.bundle()
		for _, c := range live {
			if !c.holds(bundle) {
				if err := c.apply(ctx, s.Client, bundle); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					return err
				}
			}
		}
		s.observe(a, live)
		next := a.certificate(a.next, now(s.Now))
		if next == nil {
			return errors.New("the new key has no valid certificate")
		}
		since, ok := s.since[keyID(next)]
		if ok && !said {
			said = true
			say(fmt.Sprintf("%d webhook configurations trust both keys; waiting %s for every API server to know", len(live),
				cmp.Or(s.Settle, settle)))
		}
		if ok && time.Since(since) >= cmp.Or(s.Settle, settle) {
			return nil
		}
		pause(ctx, nil, 200*time.Millisecond)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait until the webhook configurations trust the new key: %w", err)
		}
	}
}

func (s *SelfSigned) read(ctx context.Context) (*authority, error) {
	secret, err := s.readSecret(ctx)
	if err != nil {
		return nil, err
	}
	return s.existing(secret)
}

func (s *SelfSigned) existing(secret *corev1.Secret) (*authority, error) {
	if secret == nil {
		return nil, fmt.Errorf("secret %s/%s does not exist: Stayput makes it when it starts with self-signed certificates",
			s.Namespace, s.Secret)
	}
	a, err := decode(secret, s.subject())
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s is not usable: %w", s.Namespace, s.Secret, err)
	}
	return a, nil
}

// edit changes the authority in the Secret.
func (s *SelfSigned) edit(ctx context.Context, change func(*authority, time.Time) error) error {
	for {
		secret, err := s.readSecret(ctx)
		if err != nil {
			return err
		}
		a, err := s.existing(secret)
		if err != nil {
			return err
		}
		now := now(s.Now)
		if err := change(a, now); err != nil {
			return err
		}
		if err := a.encode(secret, now); err != nil {
			return err
		}
		if err := s.writeSecret(ctx, secret, true); !apierrors.IsConflict(err) {
			return err
		}
	}
}
