#!/usr/bin/env bash
# Several mutating admission policies that change the same field, each of which sees what the one before has made of it.
#
# One would think: they are applied in the order of their names, as mutating webhooks are, or else of their creation.
# Seen: in any order. It stays until one of them is written again, be it with another label: then there is another. So the
# last one to write a field is now this one, now that one. With kube-apiserver 1.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

cat >"$work/steps" <<'STEPS'
before="has(object.metadata.annotations) && 'order' in object.metadata.annotations ? object.metadata.annotations['order'] : ''"
for name in a b c d e; do
	cat <<YAML
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: $name}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: "Object{metadata: Object.metadata{annotations: {'order': ($before) + '$name'}}}"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: $name}
spec: {policyName: $name}
---
YAML
done | kubectl apply -f - >&2
order() { # applies all five to a new object
	kubectl create configmap "$1" >&2
	kubectl get configmap "$1" -o jsonpath='{.metadata.annotations.order}'
}
for try in $(seq 60); do # a policy takes effect some time after it was written
	seen=$(order "try-$try")
	((${#seen} == 5)) && break
	sleep 0.5
done
orders=("$seen")
for touch in $(seq 10); do
	kubectl label --overwrite mutatingadmissionpolicy a touched="$touch" >&2
	sleep 2
	first=$(order "touch-$touch-1") second=$(order "touch-$touch-2")
	[[ $first == "$second" ]] || echo "it changes by itself: $first, $second"
	orders+=("$first")
done
several=$(printf '%s\n' "${orders[@]}" | sort -u | wc -l)
echo "different orders: $( ((several > 1)) && echo several || echo "one, ${orders[0]}")"
STEPS

cluster "$work/steps" -bare | as_seen 'different orders: several'
