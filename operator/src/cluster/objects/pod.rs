//! What the pods of workers and of retirements have in common: the program's image, and that they may do nothing that they need not.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EnvVar, LocalObjectReference, PodSecurityContext, PodSpec,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};

use crate::cluster::settings::WorkerSettings;

/// The user, and group, of the image (distroless' `nonroot`).
const USER: i64 = 65_532;
/// Files of Secrets: their user and group read them, which is the program's own.
const SECRET_MODE: i32 = 0o440;

/// Something that is mounted into a pod, for reading.
pub(super) struct Mount {
    /// Its name within the pod.
    pub name: &'static str,
    /// Where.
    pub path: String,
    /// What.
    pub source: MountSource,
}

/// What is mounted.
pub(super) enum MountSource {
    /// The ConfigMap of this name.
    ConfigMap(String),
    /// The Secret of this name.
    Secret(String),
}

impl Mount {
    fn volume(&self) -> Volume {
        let mut volume = Volume { name: self.name.to_owned(), ..Volume::default() };
        match &self.source {
            MountSource::ConfigMap(name) => {
                volume.config_map =
                    Some(ConfigMapVolumeSource { name: name.clone(), ..ConfigMapVolumeSource::default() });
            }
            MountSource::Secret(name) => {
                volume.secret = Some(SecretVolumeSource {
                    secret_name: Some(name.clone()),
                    default_mode: Some(SECRET_MODE),
                    ..SecretVolumeSource::default()
                });
            }
        }
        volume
    }

    fn mount(&self) -> VolumeMount {
        VolumeMount {
            name: self.name.to_owned(),
            mount_path: self.path.clone(),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }
}

/// The program in a pod of its own, under the restricted Pod Security Standard: no token, no rights, nothing to write to.
pub(super) fn spec(image: &WorkerSettings, name: &str, arguments: Vec<String>, mounts: &[Mount]) -> PodSpec {
    let container = Container {
        name: name.to_owned(),
        image: Some(image.image.clone()),
        image_pull_policy: image.pull_policy.clone(),
        command: Some(vec!["sink-runtime".to_owned()]),
        args: Some(arguments),
        env: image.json_log.then(|| vec![variable("AFTERBAY_LOG_FORMAT", "json")]),
        volume_mounts: Some(mounts.iter().map(Mount::mount).collect()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    };
    let pull_secrets = image.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        automount_service_account_token: Some(false),
        // Of each service of the namespace there would be variables else.
        enable_service_links: Some(false),
        image_pull_secrets: (!image.pull_secrets.is_empty()).then(|| pull_secrets.collect()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container],
        volumes: Some(mounts.iter().map(Mount::volume).collect()),
        ..PodSpec::default()
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}
