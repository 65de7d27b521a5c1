//! The store behind a network, by the AWS SDK: path style, no retries of its own, one deadline for each request.
//!
//! - A request that fails is not repeated here: the machines of the tier know what a repetition means.
//! - HEAD answers carry no body, so a missing bucket and a missing key look alike: sizes are asked by a read of one byte.
//! - Credentials in files are read again before each request, so rotation needs no restart.

mod classify;

use super::{Credentials, ErrorClass, Listed, ObjectError, Objects, Part, Pending, Range, Request, Response, Upload};
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials as SdkCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use classify::{base64_crc32, classify};
use std::{path::PathBuf, sync::Mutex, time::Duration};

/// Where a bucket is and who asks.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Such as `https://s3.eu-central-1.amazonaws.com` or `http://10.0.0.7:7070`.
    pub endpoint: String,
    /// Such as `us-east-1`; what stores without regions want is `us-east-1`.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Who asks.
    pub credentials: Credentials,
    /// How long connecting may take. Default: 3 s.
    pub connect_timeout: Duration,
    /// How long a request may take, its bytes included. Default: 30 s.
    pub deadline: Duration,
}

type Keys = (String, String);

impl Credentials {
    fn read(&self) -> Result<Keys, ObjectError> {
        let file = |path: &PathBuf| {
            std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
                ObjectError::new(ErrorClass::AccessDenied, format!("cannot read the credentials in {}: {error}", path.display()))
            })
        };
        match self {
            Credentials::Given { access_key_id, secret_access_key } => Ok((access_key_id.clone(), secret_access_key.clone())),
            Credentials::Files { access_key_id, secret_access_key } => Ok((file(access_key_id)?, file(secret_access_key)?)),
        }
    }
}

/// A bucket behind a network.
#[derive(Debug)]
pub struct S3Objects {
    settings: S3Settings,
    client: Mutex<Option<(Keys, Client)>>,
}

impl S3Objects {
    /// A bucket that was not yet asked for anything.
    pub fn new(settings: S3Settings) -> S3Objects {
        S3Objects { settings, client: Mutex::new(None) }
    }

    fn client(&self) -> Result<Client, ObjectError> {
        let keys = self.settings.credentials.read()?;
        let mut held = self.client.lock().expect("nobody panics while making a client");
        match &*held {
            Some((known, client)) if *known == keys => Ok(client.clone()),
            _ => {
                let client = connect(&self.settings, &keys);
                *held = Some((keys, client.clone()));
                Ok(client)
            }
        }
    }

    async fn ask(&self, request: Request) -> Result<Response, ObjectError> {
        let client = self.client()?;
        let what = format!("{} in bucket {} at {}", request.key(), self.settings.bucket, self.settings.endpoint);
        match tokio::time::timeout(self.settings.deadline, answer(&client, &self.settings.bucket, request, &what)).await {
            Ok(result) => result,
            Err(_) => Err(ObjectError::new(ErrorClass::Timeout, format!("{what}: no answer within {:?}", self.settings.deadline))),
        }
    }
}

impl Objects for S3Objects {
    fn call(&self, request: Request) -> Pending<'_> {
        Box::pin(self.ask(request))
    }
}

fn connect(settings: &S3Settings, keys: &Keys) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(settings.connect_timeout).operation_timeout(settings.deadline).build();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .endpoint_url(&settings.endpoint)
        .force_path_style(true)
        .credentials_provider(SdkCredentials::new(&keys.0, &keys.1, None, None, "strata"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

async fn answer(client: &Client, bucket: &str, request: Request, what: &str) -> Result<Response, ObjectError> {
    match request {
        Request::Put { key, bytes, crc32 } => {
            let put = client.put_object().bucket(bucket).key(key).checksum_crc32(base64_crc32(crc32)).body(bytes.into());
            let output = put.send().await.map_err(|error| classify(&error, what))?;
            output.e_tag().map(|_| Response::Done).ok_or_else(|| not_s3(what))
        }
        Request::Get { key, range } => get(client, bucket, key, range, what).await,
        Request::Head { key } => match get(client, bucket, key, Range::From { offset: 0, length: 1 }, what).await? {
            Response::Bytes { size, .. } => Ok(Response::Size { size }),
            _ => Err(not_s3(what)),
        },
        Request::List { prefix, after } => list(client, bucket, prefix, after, what).await,
        Request::Copy { from, to } => {
            let copy = client.copy_object().bucket(bucket).copy_source(format!("{bucket}/{from}")).key(to);
            copy.send().await.map(|_| Response::Done).map_err(|error| classify(&error, what))
        }
        Request::Delete { key } => {
            client.delete_object().bucket(bucket).key(key).send().await.map(|_| Response::Done).map_err(|error| classify(&error, what))
        }
        upload => in_parts(client, bucket, upload, what).await,
    }
}

async fn in_parts(client: &Client, bucket: &str, request: Request, what: &str) -> Result<Response, ObjectError> {
    match request {
        Request::BeginUpload { key } => {
            let begin = client.create_multipart_upload().bucket(bucket).key(key).checksum_algorithm(ChecksumAlgorithm::Crc32);
            let output = begin.send().await.map_err(|error| classify(&error, what))?;
            output.upload_id.map(|upload| Response::UploadBegun { upload }).ok_or_else(|| not_s3(what))
        }
        Request::PutPart { key, upload, number, bytes, crc32 } => {
            let part_number =
                i32::try_from(number).map_err(|_| ObjectError::new(ErrorClass::Internal, format!("{what}: too many parts")))?;
            let put = client.upload_part().bucket(bucket).key(key).upload_id(upload).part_number(part_number);
            let output = put.checksum_crc32(base64_crc32(crc32)).body(ByteStream::from(bytes)).send().await;
            let tag = output.map_err(|error| classify(&error, what))?.e_tag.ok_or_else(|| not_s3(what))?;
            Ok(Response::PartPut { part: Part { number, tag, crc32 } })
        }
        Request::FinishUpload { key, upload, parts } => {
            let part = |part: Part| {
                let builder = CompletedPart::builder().part_number(part.number as i32).e_tag(part.tag);
                builder.checksum_crc32(base64_crc32(part.crc32)).build()
            };
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.into_iter().map(part).collect())).build();
            let finish = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload).multipart_upload(parts);
            finish.send().await.map(|_| Response::Done).map_err(|error| classify(&error, what))
        }
        Request::AbortUpload { key, upload } => {
            let abort = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload).send().await;
            match abort.map_err(|error| classify(&error, what)) {
                Ok(_) => Ok(Response::Done),
                Err(error) if error.is_not_found() => Ok(Response::Done),
                Err(error) => Err(error),
            }
        }
        Request::ListUploads { prefix, after } => {
            let (key, upload) = after.map_or((None, None), |after| (Some(after.key), Some(after.upload)));
            let list = client.list_multipart_uploads().bucket(bucket).prefix(prefix).set_key_marker(key).set_upload_id_marker(upload);
            let output = list.send().await.map_err(|error| classify(&error, what))?;
            let more = output.is_truncated == Some(true);
            let found = output.uploads.unwrap_or_default().into_iter();
            let uploads = found.filter_map(|upload| Some(Upload { key: upload.key?, upload: upload.upload_id? })).collect();
            Ok(Response::Uploads { uploads, more })
        }
        other => Err(ObjectError::new(ErrorClass::Internal, format!("{what}: not an upload: {other:?}"))),
    }
}

async fn get(client: &Client, bucket: &str, key: String, range: Range, what: &str) -> Result<Response, ObjectError> {
    let header = match range {
        Range::All => None,
        Range::From { offset, length } => Some(format!("bytes={offset}-{}", offset.saturating_add(length).saturating_sub(1))),
        Range::Last(length) => Some(format!("bytes=-{length}")),
    };
    let output = match client.get_object().bucket(bucket).key(&key).set_range(header).send().await {
        Ok(output) => output,
        // Nothing lies in the range: the object ends before it, or is empty. Not every store says then how long it is.
        Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 416) => {
            let total = error.raw_response().and_then(|raw| raw.headers().get("content-range")).and_then(total_of);
            let size = match total {
                Some(total) => total,
                None => head(client, bucket, key, what).await?,
            };
            return Ok(Response::Bytes { bytes: Bytes::new(), size });
        }
        Err(error) => return Err(classify(&error, what)),
    };
    if output.e_tag().is_none() {
        return Err(not_s3(what));
    }
    let (size, expected) = sizes(&output);
    let body = output.body.collect().await;
    let bytes =
        body.map_err(|error| ObjectError::new(ErrorClass::Unreachable, format!("{what}: the answer broke off: {error}")))?.into_bytes();
    if expected.is_some_and(|expected| expected != bytes.len() as u64) {
        return Err(ObjectError::new(ErrorClass::Unreachable, format!("{what}: the answer broke off after {} bytes", bytes.len())));
    }
    Ok(Response::Bytes { size: size.unwrap_or(bytes.len() as u64), bytes })
}

/// The size of an object that is known to be there.
async fn head(client: &Client, bucket: &str, key: String, what: &str) -> Result<u64, ObjectError> {
    let output = client.head_object().bucket(bucket).key(key).send().await.map_err(|error| classify(&error, what))?;
    output.content_length().and_then(|length| u64::try_from(length).ok()).ok_or_else(|| not_s3(what))
}

/// The size of the whole object, and that of the answer.
fn sizes(output: &GetObjectOutput) -> (Option<u64>, Option<u64>) {
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    (output.content_range().map_or(length, total_of), length)
}

/// The `789` of `bytes 0-99/789`.
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/').and_then(|(_, total)| total.parse().ok())
}

async fn list(client: &Client, bucket: &str, prefix: String, after: Option<String>, what: &str) -> Result<Response, ObjectError> {
    let list = client.list_objects_v2().bucket(bucket).prefix(prefix).set_start_after(after);
    let output = list.send().await.map_err(|error| classify(&error, what))?;
    if output.is_truncated.is_none() && output.name.is_none() {
        return Err(not_s3(what));
    }
    let more = output.is_truncated == Some(true);
    let found = output.contents.unwrap_or_default().into_iter();
    let objects = found
        .filter_map(|object| Some(Listed { key: object.key?, size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0) }))
        .collect();
    Ok(Response::Page { objects, more })
}

fn not_s3(what: &str) -> ObjectError {
    ObjectError::new(ErrorClass::NotS3, format!("{what}: what answered is no S3 store"))
}
