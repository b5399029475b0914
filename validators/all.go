package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	claimClass,
	claimInUse,
	claimOversizedVolume,
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
	deploymentSharedClaim,
	statefulsetServiceHeadless,
	statefulsetSharedClaim,
	storageclassReclaim,
	volumeInUse,
	volumeReclaim,
}
