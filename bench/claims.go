package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"stayput.dev/bench/paper"
	"stayput.dev/cluster"
	"stayput.dev/e2e/harness"
)

// beforeJobs is the last commit at which admission knew no CronJobs and Jobs.
const beforeJobs = "f7c49cc98d07cb98652045299104e81fbc711f1f"

// The builds that are compared, in the order in which they are measured.
var builds = []string{"earlier", "stayput"}

// runClaims measures the deletion of claims, and the memory, of this build and of an
// earlier one, beside the same CronJobs and Jobs.
func (b *bench) runClaims(ctx context.Context) error {
	if b.jobs < 1 {
		return fmt.Errorf("--jobs %d: must be at least 1", b.jobs)
	}
	if err := b.start(ctx, nil); err != nil {
		return err
	}
	binaries := []string{filepath.Join(b.dir, "earlier"), b.binary}
	if err := b.buildAt(ctx, b.against, binaries[0]); err != nil {
		return err
	}
	objects, err := filled(b.size)
	if err != nil {
		return err
	}
	users := paper.Jobs(b.jobs, b.size.Namespaces)
	objects = append(objects, users...)
	namespace := users[0].GetNamespace()
	mounting := strconv.Itoa(mounts(users, namespace, "backups"))
	var cases []*testCase
	for _, c := range []struct{ name, title, verdict string }{
		{"unused", "nothing mounts", "allowed"}, {"backups", mounting + " CronJobs and Jobs mount", "warned"},
	} {
		pvc, pv, body, err := bound(namespace, c.name)
		if err != nil {
			return err
		}
		objects = append(objects, pvc, pv)
		for i, build := range builds {
			p := payload{name: "claim-delete", title: c.title, verdict: c.verdict, body: body}
			if i == 0 {
				p.verdict = "allowed" // it knows of no such users
			}
			cases = append(cases, &testCase{server: build, payload: p, connections: 8})
		}
	}
	for i, build := range builds {
		if err := b.startBeside(ctx, build, binaries[i], objects); err != nil {
			return err
		}
	}
	for _, c := range cases {
		if err := b.answers(b.processes[c.server], c.server, c.payload, c.payload.verdict); err != nil {
			return err
		}
	}
	if err := b.measureInTurns(ctx, cases); err != nil {
		return err
	}
	text, err := b.claimsTables(cases)
	if err != nil {
		return err
	}
	return b.publish("make bench-claims", text)
}

// mounts counts the CronJobs and Jobs of a namespace that mount a claim.
func mounts(users []cluster.Object, namespace, claim string) (n int) {
	for _, obj := range users {
		for _, keys := range cluster.Keys(cluster.KnownObject(obj).GVK(), true) {
			if obj.GetNamespace() == namespace && slices.Contains(keys(obj), claim) {
				n++
			}
		}
	}
	return n
}

// bound returns a claim, its volume, which goes with it, and the review of the claim's
// deletion.
func bound(namespace, name string) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, []byte, error) {
	data, err := read("claim-delete")
	if err != nil {
		return nil, nil, nil, err
	}
	var review admissionv1.AdmissionReview
	var pvc corev1.PersistentVolumeClaim
	if err := json.Unmarshal(data, &review); err != nil {
		return nil, nil, nil, err
	}
	if review.Request == nil {
		return nil, nil, nil, errors.New("claim-delete: no request")
	}
	if err := json.Unmarshal(review.Request.OldObject.Raw, &pvc); err != nil {
		return nil, nil, nil, err
	}
	pvc.Namespace, pvc.Name, pvc.UID = namespace, name, types.UID(name)
	pvc.Spec.VolumeName, pvc.Status.Phase = "pv-"+name, corev1.ClaimBound
	pv := &corev1.PersistentVolume{}
	pv.Name, pv.Status.Phase = pvc.Spec.VolumeName, corev1.VolumeBound
	pv.Spec = corev1.PersistentVolumeSpec{Capacity: pvc.Spec.Resources.Requests, AccessModes: pvc.Spec.AccessModes,
		StorageClassName: *pvc.Spec.StorageClassName, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
		ClaimRef: &corev1.ObjectReference{Namespace: namespace, Name: name, UID: pvc.UID}}
	review.Request.Namespace, review.Request.Name = namespace, name
	if review.Request.OldObject.Raw, err = json.Marshal(&pvc); err != nil {
		return nil, nil, nil, err
	}
	body, err := json.Marshal(review)
	return &pvc, pv, body, err
}

// build returns what a build is called in a table.
func (b *bench) build(server string) string {
	if server == builds[0] {
		return fmt.Sprintf("Stayput, %.7s", b.against)
	}
	return title(server)
}

// claimsTables returns the tables.
func (b *bench) claimsTables(cases []*testCase) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s Both builds are beside %s, %d CronJobs and %d Jobs.\n", b.heading(), b.size,
		b.jobs, b.jobs)
	out.WriteString("\n| delete a claim whose disk goes with it, 8 connections | build | p50 ms | p99 ms | CPU ms | " +
		"p50, ×earlier | CPU, ×earlier | API requests |\n|---|---|---|---|---|---|---|---|\n")
	for i, c := range cases {
		earlier := cases[i-i%len(builds)]
		fmt.Fprintf(&out, "| that %s | %s | %s | %s | %s | %.2f | %.2f | %.2f |\n", c.payload.title, b.build(c.server),
			millis(p50(c)), millis(p99(c)), millis(cpu(c)), ratio(p50, c, earlier), ratio(cpu, c, earlier),
			median(c.samples, func(s sample) float64 { return float64(s.live) / s.n }))
	}
	out.WriteString("\n| build | ready after s | CPU s until then | resident MiB | at most MiB |\n|---|---|---|---|---|\n")
	for _, build := range builds {
		p := b.processes[build]
		now, err := harness.Memory(p.cmd.Process.Pid, "VmRSS")
		if err != nil {
			return "", err
		}
		peak, err := harness.Memory(p.cmd.Process.Pid, "VmHWM")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "| %s | %.1f | %.1f | %.0f | %.0f |\n", b.build(build), p.ready.Seconds(), p.readyCPU.Seconds(),
			float64(now)/(1<<20), float64(peak)/(1<<20))
	}
	return out.String(), nil
}
