package certs

import (
	"context"
	"crypto"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/rand"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// authority brings the Secret up to date and returns its content. If replicas
// compete, the second reads what the first wrote.
func (s *SelfSigned) authority(ctx context.Context, now time.Time) (*authority, error) {
	var err error
	for range 10 {
		var a *authority
		a, err = s.tryAuthority(ctx, now)
		if err == nil || !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return a, err
		}
		pause(ctx, nil, time.Duration(rand.IntnRange(1, 50))*time.Millisecond)
	}
	return nil, err
}

func (s *SelfSigned) tryAuthority(ctx context.Context, now time.Time) (*authority, error) {
	secret, err := s.readSecret(ctx)
	if err != nil {
		return nil, err
	}
	exists := secret != nil
	why := errors.New("it does not exist")
	var a *authority
	if exists {
		a, why = decode(secret, s.subject())
	} else {
		secret = &corev1.Secret{}
		secret.Namespace, secret.Name = s.Namespace, s.Secret
	}
	change := ""
	if why != nil {
		if change, a, err = s.replacement(now); err != nil {
			return nil, err
		}
		setAside(secret)
	}
	if reason, err := s.complete(a, now); err != nil {
		return nil, err
	} else if change == "" {
		change = reason
	}
	s.sayFrozen(secret)
	if change == "" {
		return a, nil
	}
	if frozen(secret) {
		return nil, fmt.Errorf("%s: %w", change, s.errFrozen())
	}
	if err := a.encode(secret, now); err != nil {
		return nil, err
	}
	if err := s.writeSecret(ctx, secret, exists); err != nil {
		return nil, err
	}
	s.Metrics.renewed("ca")
	level := s.Log.Info
	if why != nil && exists && !errors.Is(why, errEmpty) || why != nil && s.lastHeld() != nil {
		level = s.Log.Warn
	}
	args := []any{"secret", s.Namespace + "/" + s.Secret}
	if why != nil {
		args = append(args, "because", why.Error())
	}
	level(change, args...)
	return a, nil
}

func (s *SelfSigned) readSecret(ctx context.Context) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Secret}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Secret %s/%s: %w", s.Namespace, s.Secret, err)
	}
	return &secret, nil
}

func (s *SelfSigned) lastHeld() *authority {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// replacement returns the content for a Secret without a usable authority: the
// earlier content if this replica knows it, so that no served certificate
// becomes invalid.
func (s *SelfSigned) replacement(now time.Time) (string, *authority, error) {
	if a := s.lastHeld(); a != nil {
		return "the Secret of the CA cannot be used: written again from memory", a, nil
	}
	a, err := newAuthority(s.subject(), now, s.Lifetimes.ca())
	return "made a CA", a, err
}

// complete brings an authority up to date and describes the change.
func (s *SelfSigned) complete(a *authority, now time.Time) (change string, err error) {
	s.mu.Lock()
	ca := s.ca
	s.mu.Unlock()
	until := now.Add(s.Lifetimes.leaf())
	if ca != nil && !certifies(ca, a.key) && a.trust(ca, until) {
		change = "the Secret holds another CA of this Service: the one in use stays trusted until it is replaced"
	}
	for _, key := range []crypto.Signer{a.key, a.next} {
		if key == nil {
			continue
		}
		if c := a.certificate(key, now); c != nil && !due(c, now) {
			continue
		}
		if err := a.certify(key, s.subject(), now, s.Lifetimes.ca()); err != nil {
			return "", err
		}
		change = "renewed the CA, with its key"
	}
	if a.retire(now, s.Lifetimes.ca()) {
		change = "a key of the CA that was replaced is no longer trusted"
	}
	return change, nil
}

// setAside keeps the previous values of the keys that the authority needs: they
// may be another team's, and the only copy.
func setAside(secret *corev1.Secret) {
	for _, field := range []string{keyField, certField, bundleField, nextField} {
		if data := secret.Data[field]; len(data) > 0 {
			secret.Data[unusableMark+field] = data
			delete(secret.Data, field)
		}
	}
	delete(secret.Annotations, retireMark)
}

// writeSecret replaces exactly the version that was read, or creates the Secret
// unless another replica does. It creates by an apply, because the permission
// to create cannot be limited to a name, but that to apply can. Each replica
// applies as a different owner and without force, so that the second gets a
// conflict.
func (s *SelfSigned) writeSecret(ctx context.Context, secret *corev1.Secret, exists bool) error {
	var err error
	if exists {
		err = s.Client.Update(ctx, secret, fieldOwner)
	} else {
		err = s.Client.Apply(ctx, applycorev1.Secret(s.Secret, s.Namespace).
			WithType(corev1.SecretTypeOpaque).
			WithLabels(map[string]string{"app.kubernetes.io/name": "stayput", "app.kubernetes.io/managed-by": "stayput"}).
			WithAnnotations(secret.Annotations).
			WithData(secret.Data), fieldOwner+client.FieldOwner("-"+rand.String(8)))
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", s.Namespace, s.Secret, err)
	}
	return nil
}

// frozen says whether a Secret is immutable. Then somebody must delete it,
// which Stayput is not permitted to do.
func frozen(secret *corev1.Secret) bool { return ptr.Deref(secret.Immutable, false) }

func (s *SelfSigned) errFrozen() error {
	return fmt.Errorf("the Secret %s/%s is immutable, so its CA cannot be renewed: kubectl delete secret %[2]s -n "+
		"%[1]s, while a replica runs, which writes it again with the same CA",
		s.Namespace, s.Secret)
}

// sayFrozen warns, once, long before a renewal would fail.
func (s *SelfSigned) sayFrozen(secret *corev1.Secret) {
	if is := frozen(secret); is != s.frozen {
		if s.frozen = is; is {
			s.Log.Warn(s.errFrozen().Error())
		}
	}
}

func (s *SelfSigned) subject() pkix.Name { return subject(s.Namespace, s.Service) }
