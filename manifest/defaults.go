package manifest

import (
	"cmp"
	"math"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/cluster"
)

// Defaulted returns a copy of an object with the defaults that the API server fills
// in, for the kinds that rules know. Where they differ between versions of Kubernetes,
// these are of the newest one. What admission and the allocation of addresses and
// ports fill in is left out. Source: k8s.io/kubernetes@v1.37.1
// pkg/apis/{apps,autoscaling,batch,core,storage}, defaults.go and
// zz_generated.defaults.go.
func Defaulted(obj cluster.Object) cluster.Object {
	obj = obj.DeepCopyObject().(cluster.Object)
	switch o := obj.(type) {
	case *appsv1.StatefulSet:
		statefulSetDefaults(&o.Spec)
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.Deployment:
		deploymentDefaults(&o.Spec)
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		fillNil(&o.Spec.Replicas, 1)
		podDefaults(&o.Spec.Template.Spec)
	case *batchv1.Job:
		if len(o.Labels) == 0 {
			o.Labels = o.Spec.Template.Labels
		}
		jobDefaults(&o.Spec)
		podDefaults(&o.Spec.Template.Spec)
	case *batchv1.CronJob:
		fill(&o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		fillNil(&o.Spec.Suspend, false)
		fillNil(&o.Spec.SuccessfulJobsHistoryLimit, 3)
		fillNil(&o.Spec.FailedJobsHistoryLimit, 1)
		failureDefaults(o.Spec.JobTemplate.Spec.PodFailurePolicy)
		podDefaults(&o.Spec.JobTemplate.Spec.Template.Spec)
	case *corev1.Pod:
		podDefaults(&o.Spec)
		onlyPodDefaults(&o.Spec)
	case *corev1.Service:
		serviceDefaults(&o.Spec)
	case *corev1.PersistentVolumeClaim:
		fill(&o.Status.Phase, corev1.ClaimPending)
		fillNil(&o.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		sourceDefaults(&o.Spec)
	case *corev1.PersistentVolume:
		fill(&o.Status.Phase, corev1.VolumePending)
		fill(&o.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
		fillNil(&o.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		diskDefaults(&o.Spec.PersistentVolumeSource)
	case *corev1.Namespace:
		if o.Name != "" {
			if o.Labels == nil {
				o.Labels = map[string]string{}
			}
			o.Labels[corev1.LabelMetadataName] = o.Name
		}
	case *storagev1.StorageClass:
		fillNil(&o.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		fillNil(&o.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	case *autoscalingv2.HorizontalPodAutoscaler:
		autoscalerDefaults(&o.Spec)
	}
	return obj
}

// fill gives a field its default where it is empty.
func fill[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

// fillNil gives a field its default where it has no value.
func fillNil[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

func statefulSetDefaults(s *appsv1.StatefulSetSpec) {
	fillNil(&s.Replicas, 1)
	fillNil(&s.RevisionHistoryLimit, 10)
	fill(&s.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	update := &s.UpdateStrategy
	if update.Type == "" {
		update.Type = appsv1.RollingUpdateStatefulSetStrategyType
		fillNil(&update.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if rolling := update.RollingUpdate; rolling != nil && update.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		fillNil(&rolling.Partition, 0)
		fillNil(&rolling.MaxUnavailable, intstr.FromInt32(1)) // where it counts; elsewhere it means the same
	}
	fillNil(&s.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	fill(&s.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	fill(&s.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	for i := range s.VolumeClaimTemplates {
		t := &s.VolumeClaimTemplates[i]
		t.APIVersion, t.Kind = "v1", "PersistentVolumeClaim"
		fill(&t.Status.Phase, corev1.ClaimPending)
		fillNil(&t.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
}

func deploymentDefaults(s *appsv1.DeploymentSpec) {
	fillNil(&s.Replicas, 1)
	fillNil(&s.RevisionHistoryLimit, 10)
	fillNil(&s.ProgressDeadlineSeconds, 600)
	fill(&s.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		fillNil(&s.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		fillNil(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		fillNil(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
}

func jobDefaults(s *batchv1.JobSpec) {
	if s.Parallelism == nil {
		fillNil(&s.Completions, 1)
	}
	fillNil(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		fillNil(&s.BackoffLimit, math.MaxInt32)
	}
	fillNil(&s.BackoffLimit, 6)
	fillNil(&s.CompletionMode, batchv1.NonIndexedCompletion)
	fillNil(&s.Suspend, false)
	fillNil(&s.ManualSelector, false)
	if s.PodFailurePolicy != nil {
		fillNil(&s.PodReplacementPolicy, batchv1.Failed)
	}
	fillNil(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	failureDefaults(s.PodFailurePolicy)
}

func failureDefaults(p *batchv1.PodFailurePolicy) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for j := range p.Rules[i].OnPodConditions {
			fill(&p.Rules[i].OnPodConditions[j].Status, corev1.ConditionTrue)
		}
	}
}

// podDefaults fills in what Pods and templates of them have in common.
func podDefaults(s *corev1.PodSpec) {
	fill(&s.ServiceAccountName, s.DeprecatedServiceAccount)
	s.DeprecatedServiceAccount = s.ServiceAccountName
	fill(&s.DNSPolicy, corev1.DNSClusterFirst)
	fill(&s.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&s.SchedulerName, corev1.DefaultSchedulerName)
	fillNil(&s.SecurityContext, corev1.PodSecurityContext{})
	fillNil(&s.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	for i := range s.Volumes {
		volumeDefaults(&s.Volumes[i].VolumeSource)
	}
	for i := range s.InitContainers {
		containerDefaults(&s.InitContainers[i])
	}
	for i := range s.Containers {
		containerDefaults(&s.Containers[i])
	}
}

// onlyPodDefaults fills in what templates do not get.
func onlyPodDefaults(s *corev1.PodSpec) {
	fillNil(&s.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	for _, containers := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range containers {
			c := &containers[i]
			for name, limit := range c.Resources.Limits {
				if c.Resources.Requests == nil {
					c.Resources.Requests = corev1.ResourceList{}
				}
				if _, written := c.Resources.Requests[name]; !written {
					c.Resources.Requests[name] = limit
				}
			}
			for j := range c.Ports {
				if s.HostNetwork {
					fill(&c.Ports[j].HostPort, c.Ports[j].ContainerPort)
				}
			}
		}
	}
}

func containerDefaults(c *corev1.Container) {
	fill(&c.ImagePullPolicy, pullPolicy(c.Image))
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			fieldDefaults(from.FieldRef)
			if from.FileKeyRef != nil {
				fillNil(&from.FileKeyRef.Optional, false)
			}
		}
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe == nil {
			continue
		}
		fill(&probe.TimeoutSeconds, 1)
		fill(&probe.PeriodSeconds, 10)
		fill(&probe.SuccessThreshold, 1)
		fill(&probe.FailureThreshold, 3)
		getDefaults(probe.HTTPGet)
		if probe.GRPC != nil {
			fillNil(&probe.GRPC.Service, "")
		}
	}
	if c.Lifecycle != nil {
		for _, hook := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if hook != nil {
				getDefaults(hook.HTTPGet)
			}
		}
	}
}

func getDefaults(get *corev1.HTTPGetAction) {
	if get != nil {
		fill(&get.Path, "/")
		fill(&get.Scheme, corev1.URISchemeHTTP)
	}
}

func fieldDefaults(ref *corev1.ObjectFieldSelector) {
	if ref != nil {
		fill(&ref.APIVersion, "v1")
	}
}

// pullPolicy returns the policy of a container that has none: an image without a tag
// and a digest is the latest.
func pullPolicy(image string) corev1.PullPolicy {
	name, _, digested := strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if tag == "latest" || image != "" && !tagged && !digested {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// filesMode is the mode of files that Kubernetes writes into a volume.
const filesMode int32 = 0o644

func volumeDefaults(v *corev1.VolumeSource) {
	if *v == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	hostPathDefaults(v.HostPath)
	if v.Secret != nil {
		fillNil(&v.Secret.DefaultMode, filesMode)
	}
	if v.ConfigMap != nil {
		fillNil(&v.ConfigMap.DefaultMode, filesMode)
	}
	if v.DownwardAPI != nil {
		fillNil(&v.DownwardAPI.DefaultMode, filesMode)
		downwardDefaults(v.DownwardAPI.Items)
	}
	if v.Projected != nil {
		fillNil(&v.Projected.DefaultMode, filesMode)
		for i := range v.Projected.Sources {
			if from := v.Projected.Sources[i].DownwardAPI; from != nil {
				downwardDefaults(from.Items)
			}
			if token := v.Projected.Sources[i].ServiceAccountToken; token != nil {
				fillNil(&token.ExpirationSeconds, 3600)
			}
		}
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		fillNil(&v.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
	if v.Image != nil {
		fill(&v.Image.PullPolicy, pullPolicy(v.Image.Reference))
	}
	azureDefaults(v.AzureDisk)
	if v.ISCSI != nil {
		fill(&v.ISCSI.ISCSIInterface, "default")
	}
	if v.RBD != nil {
		cephDefaults(&v.RBD.RBDPool, &v.RBD.RadosUser, &v.RBD.Keyring)
	}
	if v.ScaleIO != nil {
		scaleIODefaults(&v.ScaleIO.StorageMode, &v.ScaleIO.FSType)
	}
}

func downwardDefaults(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		fieldDefaults(items[i].FieldRef)
	}
}

// diskDefaults fills in what a PersistentVolume says of its disk.
func diskDefaults(v *corev1.PersistentVolumeSource) {
	hostPathDefaults(v.HostPath)
	azureDefaults(v.AzureDisk)
	if v.ISCSI != nil {
		fill(&v.ISCSI.ISCSIInterface, "default")
	}
	if v.RBD != nil {
		cephDefaults(&v.RBD.RBDPool, &v.RBD.RadosUser, &v.RBD.Keyring)
	}
	if v.ScaleIO != nil {
		scaleIODefaults(&v.ScaleIO.StorageMode, &v.ScaleIO.FSType)
	}
}

func hostPathDefaults(path *corev1.HostPathVolumeSource) {
	if path != nil {
		fillNil(&path.Type, corev1.HostPathUnset)
	}
}

func scaleIODefaults(mode, fsType *string) {
	fill(mode, "ThinProvisioned")
	fill(fsType, "xfs")
}

func azureDefaults(disk *corev1.AzureDiskVolumeSource) {
	if disk != nil {
		fillNil(&disk.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		fillNil(&disk.FSType, "ext4")
		fillNil(&disk.ReadOnly, false)
		fillNil(&disk.Kind, corev1.AzureSharedBlobDisk)
	}
}

func cephDefaults(pool, user, keyring *string) {
	fill(pool, "rbd")
	fill(user, "admin")
	fill(keyring, "/etc/ceph/keyring")
}

// sourceDefaults writes the source of a claim's data in both fields, as the API server
// does with claims and not with templates of them.
func sourceDefaults(s *corev1.PersistentVolumeClaimSpec) {
	switch from, ref := s.DataSource, s.DataSourceRef; {
	case from != nil && ref == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: from.APIGroup, Kind: from.Kind, Name: from.Name}
	case from == nil && ref != nil && (ref.Namespace == nil || *ref.Namespace == ""):
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

func serviceDefaults(s *corev1.ServiceSpec) {
	fill(&s.Type, corev1.ServiceTypeClusterIP)
	fill(&s.SessionAffinity, corev1.ServiceAffinityNone)
	switch s.SessionAffinity {
	case corev1.ServiceAffinityNone:
		s.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		fillNil(&s.SessionAffinityConfig, corev1.SessionAffinityConfig{})
		fillNil(&s.SessionAffinityConfig.ClientIP, corev1.ClientIPConfig{})
		fillNil(&s.SessionAffinityConfig.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		fill(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	balanced := s.Type == corev1.ServiceTypeLoadBalancer
	outside := s.Type == corev1.ServiceTypeClusterIP && len(s.ExternalIPs) > 0
	if balanced || outside || s.Type == corev1.ServiceTypeNodePort {
		fill(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type != corev1.ServiceTypeExternalName {
		fillNil(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if balanced {
		fillNil(&s.AllocateLoadBalancerNodePorts, true)
	}
}

func autoscalerDefaults(s *autoscalingv2.HorizontalPodAutoscalerSpec) {
	fillNil(&s.MinReplicas, 1)
	if len(s.Metrics) == 0 {
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType}
		fillNil(&target.AverageUtilization, 80)
		s.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: target}}}
	}
	if b := s.Behavior; b != nil {
		percent := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}
		pods := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15}
		scalingDefaults(&b.ScaleUp, pods, percent)
		fillNil(&b.ScaleUp.StabilizationWindowSeconds, 0)
		scalingDefaults(&b.ScaleDown, percent)
	}
}

func scalingDefaults(rules **autoscalingv2.HPAScalingRules, policies ...autoscalingv2.HPAScalingPolicy) {
	fillNil(rules, autoscalingv2.HPAScalingRules{})
	fillNil(&(*rules).SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if (*rules).Policies == nil {
		(*rules).Policies = policies
	}
}
