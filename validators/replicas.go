package validators

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"stayput.dev/cluster"
)

// A span is n ordinals beginning with start.
type span struct{ start, n int }

// ordinals returns the ordinals of the Pods that a StatefulSet wants.
func ordinals(sts *appsv1.StatefulSet) span {
	start, replicas := cluster.Ordinals(sts)
	return span{start, max(replicas, 0)}
}

func (s span) end() int { return s.start + s.n } // the ordinal behind the last

func (s span) has(ordinal int) bool { return ordinal >= s.start && ordinal < s.end() }

// less returns the ordinals of s that are not in t: none, those before t, those
// behind it, or both.
func (s span) less(t span) (left []span) {
	if t.n == 0 {
		t.start, t.n = s.end(), 0
	}
	if end := min(s.end(), t.start); s.start < end {
		left = append(left, span{s.start, end - s.start})
	}
	if start := max(s.start, t.end()); start < s.end() {
		left = append(left, span{start, s.end() - start})
	}
	return left
}

// pods names the Pods of a StatefulSet that have the ordinals of s.
func (s span) pods(sts string) string {
	switch s.n {
	case 1:
		return fmt.Sprintf("%s-%d", sts, s.start)
	case 2:
		return fmt.Sprintf("%s-%d and %[1]s-%[3]d", sts, s.start, s.start+1)
	}
	return fmt.Sprintf("%s-%d to %[1]s-%[3]d", sts, s.start, s.end()-1)
}

// A replicaClaim is a claim that exists, with the template and the ordinal for
// which a StatefulSet uses it.
type replicaClaim struct {
	template *corev1.PersistentVolumeClaim
	ordinal  int
	claim    *corev1.PersistentVolumeClaim
}

// replicaClaims returns the claims that a StatefulSet uses, has used, or would
// use with more replicas, by ordinal and template. Only the name decides, as in
// the StatefulSet controller.
func replicaClaims(v *cluster.View, sts *appsv1.StatefulSet) ([]replicaClaim, error) {
	if len(sts.Spec.VolumeClaimTemplates) == 0 {
		return nil, nil
	}
	bases := make([]string, len(sts.Spec.VolumeClaimTemplates))
	templates := make(map[string]*corev1.PersistentVolumeClaim, len(bases)) // of two of a name, the last
	for i := range bases {
		t := &sts.Spec.VolumeClaimTemplates[i]
		bases[i] = t.Name + "-" + sts.Name
		templates[bases[i]] = t
	}
	named, err := cluster.Find(v, cluster.ClaimsByBase, sts.Namespace, bases...)
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var claims []replicaClaim
	for _, pvc := range named {
		dash := strings.LastIndexByte(pvc.Name, '-')
		if dash < 0 {
			continue
		}
		t := templates[pvc.Name[:dash]]
		ordinal, err := strconv.ParseInt(pvc.Name[dash+1:], 10, 32)
		if t == nil || err != nil || pvc.Name != cluster.ClaimName(sts, t.Name, int(ordinal)) {
			continue // not a number as the controller writes it
		}
		claims = append(claims, replicaClaim{t, int(ordinal), pvc})
	}
	slices.SortFunc(claims, func(a, b replicaClaim) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), strings.Compare(a.claim.Name, b.claim.Name))
	})
	return claims, nil
}

// claimNames returns the names of the claims that keep returns true for.
func claimNames(claims []replicaClaim, keep func(replicaClaim) bool) (names []string) {
	for _, c := range claims {
		if keep(c) {
			names = append(names, c.claim.Name)
		}
	}
	return names
}

// claimFrom returns the claim that will be made from a template, without its
// name.
func claimFrom(sts *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	pvc := *template
	pvc.Namespace = sts.Namespace
	return &pvc
}

// claimAt returns the claim that will be made from a template for the Pod of an ordinal.
func claimAt(sts *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim,
	ordinal int) *corev1.PersistentVolumeClaim {
	pvc := claimFrom(sts, template)
	pvc.Name = cluster.ClaimName(sts, template.Name, ordinal)
	return pvc
}

// firstClaim returns the claim that a StatefulSet makes from one of its templates for its
// first Pod. Several rules ask for it, and must not edit it.
func (p *Pass) firstClaim(sts *appsv1.StatefulSet, template int) *corev1.PersistentVolumeClaim {
	if p.firstOf != sts {
		start, _ := cluster.Ordinals(sts)
		p.firstOf, p.first = sts, slices.Clone(sts.Spec.VolumeClaimTemplates)
		for i := range p.first {
			p.first[i].Namespace, p.first[i].Name = sts.Namespace, cluster.ClaimName(sts, p.first[i].Name, start)
		}
	}
	return &p.first[template]
}

// deleteClaims returns the command that deletes claims, or the first few.
func deleteClaims(names []string, namespace string) string {
	const most = 5
	more := ""
	if len(names) > most {
		names, more = names[:most], ", and so on"
	}
	return fmt.Sprintf("kubectl delete pvc %s -n %s%s", strings.Join(names, " "), namespace, more)
}
