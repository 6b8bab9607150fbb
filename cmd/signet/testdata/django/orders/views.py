from rest_framework.permissions import DjangoModelPermissions
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.models import Order


class Orders(APIView):
    """GET says who is asking; POST needs orders.add_order."""

    permission_classes = [DjangoModelPermissions]
    queryset = Order.objects.none()

    def get(self, request):
        user = request.user
        return Response({
            "from": type(user).__module__,
            "id": user.id,
            "username": user.username,
            "is_staff": user.is_staff,
            "is_superuser": user.is_superuser,
            "groups": request.auth.get("groups", []),
            "permissions": [p for p in ("orders.add_order", "orders.ship_order") if user.has_perm(p)],
        })

    def post(self, request):
        return Response({}, status=201)
