package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimClass,
	claimInUse,
	claimOversizedVolume,
	claimReclaim,
	claimTemplateAccessMode,
	claimTemplateBinding,
	claimTemplateClass,
	claimTemplateDuplicate,
	claimTemplateExpandable,
	claimTemplatePinned,
	claimTemplateReclaim,
	claimTemplateShadowsVolume,
	claimTemplateStorage,
	claimTemplateUnmounted,
	claimVolume,
	deploymentRollingClaim,
	deploymentSharedClaim,
	statefulsetServiceHeadless,
	statefulsetSharedClaim,
	storageclassDefault,
	storageclassReclaim,
	volumeHostPath,
	volumeInUse,
	volumeReclaim,
}
