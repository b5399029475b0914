package mutators

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"stayput.dev/cluster"
)

var storageclassRetain = &Mutator{
	Name: "storageclass-retain",
	Doc: `a StorageClass whose author did not choose a reclaimPolicy retains

Left out, reclaimPolicy is Delete, and can never be changed: with a claim goes
the disk. It becomes Retain where the author provably left it out, which shows
in what kubectl apply (client-side or server-side), Helm 4 and GitOps send.
Annotation stayput.dev/reclaim-policy-defaulted: "true" marks it.

kubectl create and Helm 3 send nothing by which the API server's default can
be told from an author's choice. What they create is left as it is; write
reclaimPolicy: Retain or Delete.

A later apply or replace that leaves the field out again would turn it back
into Delete and be refused. Where the mark says that nobody chose Retain, it is
kept, and so is the mark; an author who writes Delete now gets the API server's
refusal.`,

	Edits: []Edit{
		OnCreate(func(p *Pass, sc *storagev1.StorageClass) error {
			if sc.ReclaimPolicy != nil && *sc.ReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
				return nil
			}
			switch createdWith(sc) {
			case omitted:
				retain(p, sc)
				p.Filled("reclaimPolicy, which was left out,", "Retain", "Delete",
					", and cannot be changed later; fix: write reclaimPolicy: Retain (volumes stay, and cost), or Delete (claims "+
						"take their disks with them)")
			case unknown:
				p.Warn("reclaimPolicy is Delete, and nothing shows whether somebody chose it; it cannot be changed later: with a " +
					"claim goes the disk; fix: write reclaimPolicy: Retain, or use kubectl apply")
			}
			return nil
		}),
		OnUpdate(func(p *Pass, old, sc *storagev1.StorageClass) error {
			if old.Annotations[cluster.AnnotationReclaimDefaulted] != "true" || !retains(old) || retains(sc) ||
				updatedWith(old, sc) == written {
				return nil
			}
			retain(p, sc)
			p.Warn("reclaimPolicy stays Retain, which was filled in when the class was created and cannot be changed; fix: " +
				"write reclaimPolicy: Retain")
			return nil
		}),
	},
}

func retains(sc *storagev1.StorageClass) bool {
	return sc.ReclaimPolicy != nil && *sc.ReclaimPolicy == corev1.PersistentVolumeReclaimRetain
}

func retain(p *Pass, sc *storagev1.StorageClass) {
	p.annotate(&sc.ObjectMeta, cluster.AnnotationReclaimDefaulted, "true")
	set(p, &sc.ReclaimPolicy, new(corev1.PersistentVolumeReclaimRetain), "reclaimPolicy")
}
