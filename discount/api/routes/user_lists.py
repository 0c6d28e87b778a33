"""Routes of lists of users, which audiences of discounts name."""

from discount.api.contract import Contract, ViewResult
from discount.api.inputs import Upload
from discount.api.schemas.common import BrandId
from discount.api.schemas.user_lists import AddedOut, ListName, UploadQuery, UserListOut, UserListsOut
from discount.api.uploads import READERS
from discount.services import user_lists
from discount.store.connection import Store

#: Bytes of an upload: a million users of 128 characters fit.
UPLOAD_BODY = 256 * 1024 * 1024
_FORMATS = ("text/plain", "text/csv")


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of lists of users."""

    @contract.declare(
        "POST",
        "/brand/{brand_id}/list/{name}",
        tag="users",
        scopes=("manage",),
        consumes=_FORMATS,
        max_body=UPLOAD_BODY,
        answers={200: AddedOut},
        refusals=("quota-reached",),
    )
    def add_to_list(brand_id: BrandId, name: ListName, upload: Upload, query: UploadQuery) -> ViewResult:
        """Put users on a list: one on each line, or a CSV column. The first upload makes the list."""
        lines = READERS[upload.media_type](upload.stream, query.column, upload.encoding)
        return AddedOut.of(brand_id, name, user_lists.add(store, brand_id, name, lines)), 200

    @contract.declare(
        "GET",
        "/brand/{brand_id}/list",
        tag="users",
        scopes=("read",),
        answers={200: UserListsOut},
    )
    def list_lists(brand_id: BrandId) -> ViewResult:
        """List a brand's lists of users."""
        return UserListsOut([UserListOut.of(each) for each in user_lists.list_all(store, brand_id)]), 200

    @contract.declare(
        "GET",
        "/brand/{brand_id}/list/{name}",
        tag="users",
        scopes=("read",),
        answers={200: UserListOut},
        refusals=("not-found",),
    )
    def show_list(brand_id: BrandId, name: ListName) -> ViewResult:
        """Show how many users a list has."""
        return UserListOut.of(user_lists.show(store, brand_id, name)), 200

    @contract.declare(
        "DELETE",
        "/brand/{brand_id}/list/{name}",
        tag="users",
        scopes=("manage",),
        answers={200: UserListOut},
        refusals=("not-found",),
    )
    def drop_list(brand_id: BrandId, name: ListName) -> ViewResult:
        """Delete a list. Discounts that name it then have no users by it."""
        return UserListOut.of(user_lists.drop(store, brand_id, name)), 200
