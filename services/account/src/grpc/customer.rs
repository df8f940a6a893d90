//! `postern.account.v1.CustomerService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    CreateCustomerRequest, CreateCustomerResponse, DeleteCustomerRequest, DeleteCustomerResponse,
    GetCustomerRequest, GetCustomerResponse, ListCustomersRequest, ListCustomersResponse,
    SetCustomerPasswordRequest, SetCustomerPasswordResponse, UpdateCustomerRequest, UpdateCustomerResponse,
    customer_service_server::CustomerService,
};
use tonic::{Request, Response, Status};

use super::{activity_state, mask, new_password, opened, present};
use crate::{
    Account,
    customers::{CustomerUpdate, NewCustomer},
    fields,
    paging::Page,
};

pub(super) struct Customers(pub(super) Arc<Account>);

#[tonic::async_trait]
impl CustomerService for Customers {
    async fn get_customer(
        &self,
        request: Request<GetCustomerRequest>,
    ) -> Result<Response<GetCustomerResponse>, Status> {
        let (caller, request) = opened(request)?;
        let login = fields::login("login", &request.login)?;
        let customer = Some(self.0.customer(&caller, &login).await?);
        Ok(Response::new(GetCustomerResponse { customer }))
    }

    async fn list_customers(
        &self,
        request: Request<ListCustomersRequest>,
    ) -> Result<Response<ListCustomersResponse>, Status> {
        let (caller, request) = opened(request)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let (customers, next_page_token) = self.0.customers(&caller, &page).await?;
        Ok(Response::new(ListCustomersResponse { customers, next_page_token }))
    }

    async fn create_customer(
        &self,
        request: Request<CreateCustomerRequest>,
    ) -> Result<Response<CreateCustomerResponse>, Status> {
        let (caller, request) = opened(request)?;
        let new = NewCustomer {
            login: fields::new_login("login", &request.login)?,
            display_name: fields::display_name("display_name", &request.display_name)?,
            request_id: fields::request_id(&request.request_id)?,
            password: new_password(&caller, request.password)?,
        };
        let customer = Some(self.0.create_customer(&caller, new).await?);
        Ok(Response::new(CreateCustomerResponse { customer }))
    }

    async fn update_customer(
        &self,
        request: Request<UpdateCustomerRequest>,
    ) -> Result<Response<UpdateCustomerResponse>, Status> {
        let (caller, request) = opened(request)?;
        let customer = present("customer", request.customer)?;
        let paths = mask(request.update_mask.as_ref(), &["display_name", "state"])?;
        let mut update = CustomerUpdate {
            login: fields::login("customer.login", &customer.login)?,
            etag: customer.etag,
            display_name: None,
            state: None,
        };
        if paths.contains(&"display_name") {
            update.display_name =
                Some(fields::display_name("customer.display_name", &customer.display_name)?);
        }
        if paths.contains(&"state") {
            update.state = Some(activity_state("customer.state", customer.state)?);
        }
        let customer = Some(self.0.update_customer(&caller, update).await?);
        Ok(Response::new(UpdateCustomerResponse { customer }))
    }

    async fn set_customer_password(
        &self,
        request: Request<SetCustomerPasswordRequest>,
    ) -> Result<Response<SetCustomerPasswordResponse>, Status> {
        let (caller, request) = opened(request)?;
        let login = fields::login("login", &request.login)?;
        let password = new_password(&caller, request.password)?;
        let customer = Some(self.0.set_customer_password(&caller, &login, password).await?);
        Ok(Response::new(SetCustomerPasswordResponse { customer }))
    }

    async fn delete_customer(
        &self,
        request: Request<DeleteCustomerRequest>,
    ) -> Result<Response<DeleteCustomerResponse>, Status> {
        let (caller, request) = opened(request)?;
        let login = fields::login("login", &request.login)?;
        self.0.delete_customer(&caller, &login).await?;
        Ok(Response::new(DeleteCustomerResponse {}))
    }
}
