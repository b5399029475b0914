#!/usr/bin/env bash
# A field that an admission plugin adds to an object under server-side apply: a finalizer, a default, a label.
#
# One would think: managedFields names an owner for every field, here the applier or the plugin; and when the plugin is
# gone, the next apply without the field removes it.
# Seen: nobody owns it, so nobody's apply ever removes it: the label stays for good, while one that the applier wrote and
# leaves out goes. Whoever removes a mutating webhook must clean up by hand. With kube-apiserver 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
kubectl apply -f - >&2 <<'YAML'
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: adds}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]}
  matchConditions: [{name: ours, expression: "object.metadata.name.startsWith('ours')"}]
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'added': 'yes'}}}"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: adds}
spec: {policyName: adds}
YAML
apply() {
	kubectl apply --server-side --field-manager=applier -f - >&2 <<<"{apiVersion: v1, kind: ConfigMap, metadata: {name: $1, labels: {$2}}}"
}
labels() { kubectl get configmap "$1" -o jsonpath='{.metadata.labels}{"\n"}'; }
for try in $(seq 60); do # a policy takes effect some time after it was written
	apply "ours-$try" "own: a"
	[[ $(labels "ours-$try") == *added* ]] && break
	sleep 0.5
done
echo "applied: $(labels "ours-$try")"
echo "owned: $(kubectl get configmap "ours-$try" --show-managed-fields -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.fieldsV1}{end}')"
kubectl delete mutatingadmissionpolicybinding adds >&2
kubectl delete mutatingadmissionpolicy adds >&2
for probe in $(seq 60); do
	apply "ours-probe-$probe" "own: a"
	[[ $(labels "ours-probe-$probe") == *added* ]] || break
	sleep 0.5
done
apply "ours-$try" ""
echo "applied again without labels, the policy gone: $(labels "ours-$try")"
STEPS

cluster "$work/steps" -bare | as_seen 'applied: {"added":"yes","own":"a"}
owned: applier {"f:metadata":{"f:labels":{"f:own":{}}}}
applied again without labels, the policy gone: {"added":"yes"}'
