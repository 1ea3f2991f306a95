//! Pods as a kubelet makes them: the calls of Kubernetes' Container Runtime Interface (`runtime.v1`, `api.proto` of
//! `k8s.io/cri-api`) that this takes, with the fields that are used here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use tokio::runtime::Runtime;
use tonic::{
    Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

/// A namespace of the machine's own (`NamespaceMode.NODE`): no network has to be made for the pod.
const NODE: i32 = 2;
/// One for each container, as kubelets have it (`NamespaceMode.CONTAINER`).
const CONTAINER: i32 = 1;

/// The runtime, as its kubelet sees it.
pub struct Pods {
    runtime: Runtime,
    channel: Channel,
}

/// A pod in which containers can be started.
pub struct Pod {
    id: String,
    config: PodSandboxConfig,
}

impl Pods {
    /// Over the runtime's socket.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = Endpoint::from_shared(format!("unix://{}", socket.display())).expect("an address");
        let channel = runtime.block_on(address.connect()).expect("connect to the runtime");
        Self { runtime, channel }
    }

    fn call<Q, A>(&self, method: &'static str, request: Q) -> A
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let call = async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.expect("a runtime that listens");
            let path = PathAndQuery::from_static(method);
            grpc.unary(Request::new(request), path, ProstCodec::default()).await
        };
        self.runtime.block_on(call).unwrap_or_else(|status| panic!("{method}: {status}")).into_inner()
    }

    /// Makes a pod of that name, for the namespace `prod`.
    #[must_use]
    pub fn make(&self, name: &str) -> Pod {
        let namespaces = NamespaceOption { network: NODE, pid: CONTAINER, ipc: 0 };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("{name}-uid"),
                namespace: "prod".to_owned(),
                attempt: 0,
            }),
            hostname: String::new(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/kubepods/besteffort/pod{name}"),
                security_context: Some(LinuxSandboxSecurityContext { namespace_options: Some(namespaces) }),
            }),
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        let made: RunPodSandboxResponse = self.call("/runtime.v1.RuntimeService/RunPodSandbox", request);
        Pod { id: made.pod_sandbox_id, config }
    }

    /// Starts a container in it, with a directory of the host's (`hostPath`) for reading. Returns its id.
    #[must_use]
    pub fn start(&self, pod: &Pod, name: &str, image: &str, (host, inside): (&Path, &str), command: &[&str]) -> String {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: image.to_owned() }),
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            mounts: vec![Mount {
                container_path: inside.to_owned(),
                host_path: host.display().to_string(),
                readonly: true,
            }],
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: pod
                        .config
                        .linux
                        .as_ref()
                        .and_then(|linux| linux.security_context.as_ref()?.namespace_options),
                }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let made: CreateContainerResponse = self.call("/runtime.v1.RuntimeService/CreateContainer", request);
        let request = StartContainerRequest { container_id: made.container_id.clone() };
        let Nothing {} = self.call("/runtime.v1.RuntimeService/StartContainer", request);
        made.container_id
    }

    /// Ends it with all its containers, and removes it.
    pub fn remove(&self, pod: &Pod) {
        for method in ["/runtime.v1.RuntimeService/StopPodSandbox", "/runtime.v1.RuntimeService/RemovePodSandbox"] {
            let Nothing {} = self.call(method, PodSandboxId { pod_sandbox_id: pod.id.clone() });
        }
        // Control groups above those of its containers are a kubelet's to remove; of others they are not empty.
        let parent = pod.config.linux.as_ref().map(|linux| linux.cgroup_parent.clone()).unwrap_or_default();
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
            let group = hierarchy.join(parent.trim_start_matches('/'));
            for group in group.ancestors().take_while(|group| *group != hierarchy) {
                let _ = fs::remove_dir(group);
            }
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, tag = "1")]
    config: Option<PodSandboxConfig>,
    #[prost(string, tag = "2")]
    runtime_handler: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxResponse {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(string, tag = "2")]
    hostname: String,
    #[prost(message, tag = "8")]
    linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, tag = "2")]
    security_context: Option<LinuxSandboxSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxSandboxSecurityContext {
    #[prost(message, tag = "1")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(int32, tag = "3")]
    ipc: i32,
}

/// `StopPodSandboxRequest` and `RemovePodSandboxRequest`.
#[derive(Clone, PartialEq, Message)]
struct PodSandboxId {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerResponse {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(message, tag = "15")]
    linux: Option<LinuxContainerConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
    #[prost(bool, tag = "3")]
    readonly: bool,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerConfig {
    #[prost(message, tag = "2")]
    security_context: Option<LinuxContainerSecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerSecurityContext {
    #[prost(message, tag = "3")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct StartContainerRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Nothing {}
